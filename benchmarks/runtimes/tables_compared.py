"""The shipped tables of one machine side by side: which blocks are faster where, networks by sums, errors of the sums.

    python benchmarks/runtimes/tables_compared.py                    # of latency_tables/epyc-vm-*.csv, as Markdown
    python benchmarks/runtimes/tables_compared.py --tables xeon-vm

Nothing is measured. Every figure is a ratio to the first table, `PREFIX-onnxruntime.csv`, or stands in a validation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.predictors.metrics import kendall_tau
from ofa.space import get_space
from ofa.tables import LatencyTable

TABLES = Path(__file__).resolve().parents[2] / "latency_tables"
FIRST = "onnxruntime"
NETWORKS = 300
Floats = NDArray[np.float64]


def _mbconv(block: Block) -> bool:
    return block.op == "mbconv"


GROUPS: Mapping[str, Callable[[Block], bool]] = {
    "all blocks": lambda _: True,
    "first convolution": lambda block: block.in_channels == 3,
    "mbconv, 3x3": lambda block: _mbconv(block) and block.kernel_size == 3,
    "mbconv, 5x5": lambda block: _mbconv(block) and block.kernel_size == 5,
    "mbconv, 7x7": lambda block: _mbconv(block) and block.kernel_size == 7,
    "mbconv, ReLU, no SE": lambda block: _mbconv(block) and block.activation == "relu" and not block.squeeze_excite,
    "mbconv, ReLU, SE": lambda block: _mbconv(block) and block.activation == "relu" and block.squeeze_excite,
    "mbconv, h-swish, no SE": lambda b: _mbconv(b) and b.activation == "h_swish" and not b.squeeze_excite,
    "mbconv, h-swish, SE": lambda block: _mbconv(block) and block.activation == "h_swish" and block.squeeze_excite,
    "mbconv, input 56 px or more": lambda block: _mbconv(block) and block.in_size >= 56,
    "mbconv, input 20 to 55 px": lambda block: _mbconv(block) and 20 <= block.in_size < 56,
    "mbconv, input under 20 px": lambda block: _mbconv(block) and block.in_size < 20,
    "head: last convolution to classifier": lambda b: not _mbconv(b) and b.in_channels > 3,
}


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def blocks_compared(tables: Mapping[str, LatencyTable]) -> Iterator[str]:
    """Ratios to the first table by groups: medians, and of how many blocks of the group each is the fastest."""
    ms = {name: {each.block: each.latency_ms for each in table.rows} for name, table in tables.items()}
    common = [block for block in ms[FIRST] if all(block in of for of in ms.values())]
    yield row("blocks", "count", *tables)
    yield row(*["---"] * (2 + len(tables)))
    for words, chosen in GROUPS.items():
        blocks = [block for block in common if chosen(block)]
        took = np.array([[of[block] for block in blocks] for of in ms.values()])
        ratios = np.median(took / took[0], axis=1)
        won = np.bincount(took.argmin(axis=0), minlength=len(took))
        cells = (f"{ratio:.2f} ({count})" for ratio, count in zip(ratios, won, strict=True))
        yield row(words, str(len(blocks)), *cells)


def networks_compared(tables: Mapping[str, LatencyTable], seed: int) -> Iterator[str]:
    """Sums of random networks: the range, the ratio to the first table's, and whether the order is the same."""
    space = get_space(tables[FIRST].header["space"])
    genes = space.sample(np.random.default_rng(seed), NETWORKS, resolutions=(128, 160, 192, 208, 224))
    ms: dict[str, Floats] = {name: table.latency_ms(space, genes) for name, table in tables.items()}
    yield row("table", "ms, fastest to slowest", f"over {FIRST}: median (5th to 95th percentile)", "Kendall tau")
    yield row(*["---"] * 4)
    for name, took in ms.items():
        low, middle, high = np.percentile(took / ms[FIRST], (5, 50, 95))
        tau = kendall_tau(took, ms[FIRST])
        yield row(
            name, f"{took.min():.2f} to {took.max():.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{tau:.3f}"
        )


def errors_compared(folder: Path, prefix: str, tables: Mapping[str, LatencyTable]) -> Iterator[str]:
    """What the validations say."""
    yield row("table", "networks", "MAPE", "bias", "worst", "tau", "again: MAPE", "tau", "plain sums: MAPE", "bias")
    yield row(*["---"] * 10)
    for name in tables:
        path = folder / f"{prefix}-{name}.validation.json"
        if not path.is_file():
            yield row(name, "not validated", *[""] * 8)
            continue
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        s, again, plain = told["scores"], told["repeat"], told["scores_without_correction"]
        yield row(
            name, f"{s['networks']}", f"{s['mape_pct']:.2f}", f"{s['bias_pct']:+.2f}", f"{s['worst_pct']:.1f}",
            f"{s['kendall_tau']:.3f}", f"{again['mape_pct']:.2f}", f"{again['kendall_tau']:.3f}",
            f"{plain['mape_pct']:.2f}", f"{plain['bias_pct']:+.2f}",
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="epyc-vm", metavar="PREFIX")
    parser.add_argument("--folder", type=Path, default=TABLES)
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    paths = {path.stem.removeprefix(f"{args.tables}-"): path for path in args.folder.glob(f"{args.tables}-*.csv")}
    if FIRST not in paths:
        parser.error(f"there is no {args.folder / f'{args.tables}-{FIRST}.csv'}")
    order = [FIRST, *sorted(paths.keys() - {FIRST}, key=lambda name: ("-" in name, name))]
    tables = {name: LatencyTable.load(paths[name]) for name in order}
    for lines in (
        blocks_compared(tables),
        networks_compared(tables, args.seed),
        errors_compared(args.folder, args.tables, tables),
    ):
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
