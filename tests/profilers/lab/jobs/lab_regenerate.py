"""profilers.regenerate, of a device that is made up: its tables are drawn, one with a block that became slower.

usage: python -m tests.profilers.lab.jobs.lab_regenerate, as profilers.regenerate.
broken.csv fails where LAB_BROKEN is set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa.cli.run import run
from ofa.tables import LatencyTable
from profilers import regenerate
from profilers.changes import regeneration
from tests.profilers.changes.regenerated import BLOCKS, table

COMMAND = regenerate.COMMAND
SLOWER = {BLOCKS[5]: 1.5}


def _drawn(_: object, __: object, ___: Sequence[str], out: Path) -> tuple[int, str]:
    """In place of a profiler's process."""
    if "broken" in out.name and os.environ.get("LAB_BROKEN"):
        return 2, "error: the sensor is gone"
    made = table(hash_of(out.name), SLOWER if "slow" in out.name else {}, 1.0)
    LatencyTable({**made.header, "when": "2026-11-27T03:00:00+00:00"}, made.rows).save(out)
    return 0, ""


def hash_of(name: str) -> int:
    """Another seed for another table."""
    return sum(name.encode())


def main() -> int:
    made_up: Any = regeneration
    made_up.Regeneration._profile = _drawn
    made_up.write_plot = lambda *_: None
    return regenerate.main()


if __name__ == "__main__":
    run(main, failed=2)
