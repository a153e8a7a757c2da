"""A table of planted latencies, and what is said of networks found in it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.checkpoints.shipped import WEIGHTS
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from tests.profilers.whole_networks.planted import RUNTIME, SOC

SPACE, RESOLUTIONS, LIMITS = get_space("mbv3-w0.35", 10), (48, 72, 96), (0.35, 0.5, 0.68)

SUPERNET = WEIGHTS / f"{SPACE.name}.safetensors"

FACTS = {"runtime": RUNTIME, "soc": SOC, "provenance": "measured", "space": SPACE.name, "source": "a test"}


def alone_ms(block: Block) -> float:
    return round(0.01 + block_macs(block) / 2e7, 6)


def whole(factor: Callable[[Sequence[Block]], float]) -> Callable[[Sequence[Block]], float]:
    """Blocks take what the table says, networks a factor of their sums."""
    return lambda chain: sum(map(alone_ms, chain)) * (1.0 if len(chain) == 1 else factor(chain))


def write_table(path: Path, **facts: str) -> Path:
    rows = [TableRow(block, alone_ms(block)) for block in all_blocks(SPACE, RESOLUTIONS)]
    LatencyTable({"device": "D", **FACTS, **facts}, rows).save(path)
    return path


Run = Callable[..., tuple[int, dict[str, Any]]]


def found(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "result.json").read_text())["results"]


def sums(result: Mapping[str, Any]) -> float:
    return sum(map(alone_ms, blocks_of(SPACE, SPACE.subnet_from_dict(result["subnet"]))))


def keeps(result: Mapping[str, Any]) -> bool:
    return max(result["odd_ms"], result["even_ms"]) <= result["limit_ms"]


def scattered(chain: Sequence[Block]) -> float:
    """A factor of each network's own, 10 % either way."""
    rng = np.random.default_rng(sum(map(block_macs, chain)))
    return 1.1 * float(np.exp(0.1 * rng.standard_normal()))
