"""Tables of made-up latencies."""

from pathlib import Path

from ofa.blocks import Block, all_blocks
from ofa.blocks.costs import block_macs
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.interpolation import TILE

HEADER = {
    "device": "Test device",
    "runtime": "none",
    "provenance": "measured",
    "space": "mbv3-w1.0",
    "source": "made up by a test",
}

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 144, 160, 176, 224)


def cost(block: Block) -> float:
    """A made-up latency, in ms, of the kind that is interpolated exactly."""
    return 0.01 + 1e-7 * (block_macs(block, TILE) or block.in_size**2 * block.out_channels)


def made_up(resolutions: list[int], **header: str) -> LatencyTable:
    rows = [TableRow(block, cost(block), 0.001, 0.02, 30) for block in all_blocks(SPACE, resolutions)]
    return LatencyTable({**HEADER, **header}, rows)


def edit(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))


BLOCKS = all_blocks(SPACE, RESOLUTIONS)
