"""A device that is made up, and the configuration of its table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from device_agents.cpu.machine import cpu_model
from ofa.blocks import Block, all_blocks
from ofa.blocks.costs import block_macs
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.changes.regeneration import Regeneration
from profilers.changes.tables_config import TableEntry

SPACE = get_space("mbv3-w0.35")

BLOCKS = all_blocks(SPACE, [64, 96])

HEADER = {
    "device": "D",
    "soc": str(cpu_model()),
    "runtime": "onnxruntime 1",
    "threads": "1",
    "batch": "1",
    "provenance": "measured",
    "space": "mbv3-w0.35",
    "source": "test",
}

ENTRY = '[[table]]\nfile = "{file}"\nprofiler = "cpu"\nargs = ["--space", "mbv3-w0.35", "--resolutions", "64,96"]\n'


def table(seed: int, slower: dict[Block, float], drift: float, blocks: tuple[Block, ...] = BLOCKS) -> LatencyTable:
    rng = np.random.default_rng(seed)
    rows = []
    for block in blocks:
        latency = (0.01 + block_macs(block) / 1e7) * drift * slower.get(block, 1.0)
        visits = np.round(latency * np.exp(0.01 * rng.standard_normal(5)), 6)
        rows.append(TableRow(block, float(np.median(visits)), visits_ms=tuple(visits.tolist())))
    return LatencyTable(HEADER, rows)


class Device:
    """Stands in for the profiler's process. first, second: what is slower in each measurement."""

    def __init__(self) -> None:
        self.first: dict[Block, float] = {}
        self.second: dict[Block, float] = {}
        self.drift = 1.0
        self.second_drift: float | None = None
        self.rows: tuple[TableRow, ...] | None = None
        self.header: dict[str, str] = {}
        self.answer: tuple[int, str] = (0, "")
        self.asked: list[list[str]] = []

    def profile(self, _: Regeneration, entry: TableEntry, args: list[str], out: Path) -> tuple[int, str]:
        self.asked.append(list(args))
        if self.answer[0] in (0, 1):
            is_second = ".again" in out.name
            drift = self.drift if self.second_drift is None or not is_second else self.second_drift
            made = table(len(self.asked), self.second if is_second else self.first, drift)
            if self.rows is not None:
                made = LatencyTable(HEADER, self.rows)
            assert entry.file.split(".")[0] in out.name
            LatencyTable({**made.header, **self.header}, made.rows).save(out)
        return self.answer


Run = Callable[..., tuple[int, str]]
