"""How well a table of few resolutions predicts the others, by several ways of interpolating.

python benchmarks/latency/resolutions.py    # Note10: every choice of 5 of its 13 resolutions, the ends among them
python benchmarks/latency/resolutions.py --table xeon-vm-tflite --keep 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, BlockIndex, all_blocks, block_index
from ofa.blocks.costs import block_macs
from ofa.space import Genes, get_space
from ofa.tables import LatencyTable, find_table
from ofa.tables.interpolation import TILE, Interpolation

NETWORKS = 200  # random ones a resolution

Fill = Callable[[dict[Block, float], Iterable[Block]], dict[Block, float]]


def linear_in(work: Callable[[Block], float]) -> Fill:
    """Linear in the work, between the nearest measured sizes."""

    def fill(known: dict[Block, float], wanted: Iterable[Block]) -> dict[Block, float]:
        by_shape: dict[Block, list[Block]] = {}
        for block in sorted(known):
            by_shape.setdefault(replace(block, in_size=1), []).append(block)
        filled = dict(known)
        for block in wanted:
            if block not in known:
                measured = by_shape[replace(block, in_size=1)]
                filled[block] = float(np.interp(work(block), [work(b) for b in measured], [known[b] for b in measured]))
        return filled

    return fill


def ours(known: dict[Block, float], wanted: Iterable[Block]) -> dict[Block, float]:
    interpolation = Interpolation(known)
    return {block: known.get(block) or interpolation.between(block) or np.nan for block in wanted}


def by_tile(tile: int) -> Fill:
    return linear_in(lambda block: block_macs(block, tile) or block.in_size**2)


WAYS: dict[str, Fill] = {
    "linear in the block's area": linear_in(lambda block: block.in_size**2),
    **{f"linear in MACs, pixels in tiles of {tile}": by_tile(tile) for tile in (1, 2, 3, 6, 8)},
    f"ofa.tables.interpolation (tiles of {TILE})": ours,
}


def by_image_area(
    index: BlockIndex, block_ms: NDArray[np.float64], genes: Genes, kept: Sequence[int], size: int
) -> NDArray[np.float64]:
    """The plain way: the network's latency, linear in the area of the image, between the nearest kept resolutions."""
    below, above = max(r for r in kept if r < size), min(r for r in kept if r > size)
    share = (size**2 - below**2) / (above**2 - below**2)
    sums = []
    for resolution in (below, above):
        moved = genes.copy()
        moved[:, 0] = resolution
        sums.append(index.total(moved, block_ms))
    return (1 - share) * sums[0] + share * sums[1]


def main(argv: list[str] | None = None) -> int:
    """Prints a line a way of interpolating."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--table", default="note10", help="a table that is complete at several resolutions")
    parser.add_argument("--keep", type=int, default=5, help="how many resolutions are kept, the ends among them")
    args = parser.parse_args(argv)
    table = LatencyTable.load(find_table(args.table))
    space = get_space(table.spaces[0])
    resolutions = table.coverage(space).complete
    index, truth = block_index(space, resolutions), table.lookup(space, resolutions).block_ms
    true_ms = dict(zip(index.blocks, truth.tolist(), strict=True))
    genes = {r: space.sample(np.random.default_rng(r), NETWORKS, resolutions=[r]) for r in resolutions}
    blocks = {r: set(all_blocks(space, [r])) for r in resolutions}
    errors: dict[str, list[tuple[float, float, float]]] = {}  # a choice of resolutions: mean, worst one's mean, worst
    choices = [(resolutions[0], *inner, resolutions[-1]) for inner in combinations(resolutions[1:-1], args.keep - 2)]
    for kept in choices:
        known = {b: true_ms[b] for b in set().union(*(blocks[r] for r in kept))}
        predicted: dict[str, dict[int, NDArray[np.float64]]] = {"linear in the image's area": {}}
        left_out = [r for r in resolutions if r not in kept]
        for r in left_out:
            predicted["linear in the image's area"][r] = by_image_area(index, truth, genes[r], kept, r)
        for name, fill in WAYS.items():
            filled = fill(known, index.blocks)
            block_ms = np.array([filled[b] for b in index.blocks])
            predicted[name] = {r: index.total(genes[r], block_ms) for r in left_out}
        for name, by_resolution in predicted.items():
            each = [100 * np.abs(p / index.total(genes[r], truth) - 1) for r, p in by_resolution.items()]
            means = [float(e.mean()) for e in each]
            errors.setdefault(name, []).append((float(np.mean(means)), max(means), max(float(e.max()) for e in each)))
    print(f"{args.table}: {args.keep} of {len(resolutions)} resolutions predict the others, {len(choices)} choices (%)")
    print(f"{'':45}{'MAPE: median, worst choice':>28}{'worst resolution':>18}{'worst network':>15}")
    for name, found in errors.items():
        mean, resolution, network = np.array(found).T
        print(f"{name:45}{np.median(mean):20.2f}{mean.max():8.2f}{resolution.max():18.2f}{network.max():15.2f}")
    mean = np.array([m for m, *_ in errors[list(WAYS)[-1]]])
    print(f"best choice {choices[int(mean.argmin())]}, worst {choices[int(mean.argmax())]}")
    if all(row.std_ms is not None and row.runs is not None for row in table.rows):
        errors_ms = {row.block: (row.std_ms or 0) / (row.runs or 1) ** 0.5 for row in table.rows}
        variance = np.array([errors_ms[b] ** 2 for b in index.blocks])
        own = [index.total(g, variance) ** 0.5 / index.total(g, truth) for g in genes.values()]
        print(f"standard error of a network's true sum, from the runs' spread: {100 * np.mean(own):.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
