"""`python -m profilers.lab.siblings TABLE...`: devices of one model, compared, and merged if they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar
from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.runs.files import write_json
from ofa.runs.places import check_replaced
from profilers.lab.siblings.config import MergeConfig
from profilers.profiling.command_words import command_line

if TYPE_CHECKING:
    from ofa.tables import LatencyTable
    from profilers.lab.siblings.compared import Siblings

COMMAND = Command("profilers.lab.siblings", MergeConfig, "pixel-a.csv pixel-b.csv pixel-c.csv --out pixel.csv")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    require("scipy", "comparing tables")
    check_outputs(config)
    console = make_console()
    with progress_bar(console, counted=True) as bar:
        found, table = merge(
            config, command_line("profilers.lab.siblings", argv), lambda n, of: bar.show("tables", n, of)
        )

    from profilers.lab.siblings.findings import findings, to_json

    for line in findings(found):
        console.out(line, highlight=False)
    if config.json:
        write_json(config.json, to_json(found))
    if table is not None and config.out is not None:
        table.save(config.out)
        console.out(f"wrote {config.out}: {len(table.rows)} blocks, of {len(found.agreeing)} devices", highlight=False)
    elif config.out is not None:
        console.out(f"{config.out} is not written: each device keeps its own table", highlight=False)
    return 1 if found.apart else 0


def check_outputs(config: MergeConfig) -> None:
    """InputError, before anything is read, where an output would replace what it should not."""
    if config.out is not None and config.out.exists() and not config.overwrite:
        raise InputError(f"--out {config.out} exists: replace it with --overwrite, or name another file")
    if config.json is not None:
        check_replaced(
            config.json, {"devices", "pairs", "findings"}, "what profilers.lab.siblings writes", name="--json"
        )


def merge(
    config: MergeConfig, command: str, progress: Callable[[int, int], None] | None = None
) -> tuple[Siblings, LatencyTable | None]:
    """What was found of the devices, and the table of those that agree; None where no two do.

    command: as typed, for the table's header; progress: how many of how many tables are read
    """
    from profilers.lab.siblings.compared import compare_devices
    from profilers.lab.siblings.merged import merged_table

    found = compare_devices(config.tables, config.effect / 100, config.alpha, progress)
    if not found.agreeing:
        return found, None
    header = found.tables.header
    name = config.name or header.get("device") or header.get("soc") or "several devices"
    return found, merged_table(found, name, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
