"""HELP's 4,000 FBNet networks on 27 device settings, as tables of a choice at each position.

A source is a table with one latency for every choice at every position, fitted on all networks of its device. The
sources are the nine settings that HELP trains on; the other eighteen are the targets.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import block_macs
from ofa.published.coded import blocks_of_code
from profilers.estimating.cost_model import terms_of_networks
from profilers.estimating.timed_networks import read_timed

Floats = NDArray[np.float64]
POSITIONS, CHOICES = 22, 9
SOURCES = ("1080ti_1", "1080ti_32", "1080ti_64", "silver_4114", "silver_4210r", "samsung_a50", "pixel3",
           "essential_ph_1", "samsung_s7")  # fmt: skip
PLATFORMS = ("raspi4", "eyeriss", "fpga")
_RIDGE = 1e-3


def read(path: Path) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """(N, 22) choices, and latencies by device setting."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    choices = np.array([[int(n) for n in row["network"].removeprefix("fbnet:").split()] for row in rows])
    columns = [column for column in rows[0] if column.endswith("_ms")]
    return choices, {c.removesuffix("_ms"): np.array([float(row[c]) for row in rows]) for c in columns}


def one_hot(choices: NDArray[np.int64]) -> Floats:
    """(N, 199) a column a choice at a position, and 1."""
    found = np.zeros((len(choices), POSITIONS * CHOICES + 1))
    for position in range(POSITIONS):
        found[np.arange(len(choices)), position * CHOICES + choices[:, position]] = 1.0
    found[:, -1] = 1.0
    return found


def table_of(terms: Floats, latency_ms: Floats) -> Floats:
    """(199,) of least squared relative error."""
    relative = terms / latency_ms[:, None]
    ridge = _RIDGE / latency_ms.mean() ** 2 * np.eye(terms.shape[1])
    return np.linalg.solve(relative.T @ relative + ridge, relative.sum(axis=0))


def choice_terms() -> Floats:
    """(199, terms) of each choice at each position, by what a network changes when only that is chosen."""
    base = [8] * POSITIONS
    codes = [base, *(base[:p] + [c] + base[p + 1 :] for p in range(POSITIONS) for c in range(CHOICES))]
    blocks = [blocks_of_code("fbnet:" + " ".join(map(str, code))) for code in codes]
    terms = terms_of_networks(blocks)
    return np.vstack([terms[1:] - terms[0], terms[:1]])


def fbnet_set(path: Path, other: Path | None) -> Iterator[dict[str, Any]]:
    """The fields of a target for each of the eighteen."""
    choices, latencies = read(path)
    fitted = None
    if other is not None:
        more, of_more = read(other)
        fitted = np.arange(len(choices) + len(more)) < len(choices)
        all_choices = np.vstack([choices, more])
    else:
        all_choices, of_more = choices, {}
    terms = one_hot(all_choices)
    own = terms[: len(choices)]
    sources = np.stack([table_of(own, latencies[name]) for name in SOURCES])
    of_choices = choice_terms()
    macs_of = np.array([sum(map(block_macs, blocks_of_code("fbnet:" + " ".join(map(str, c))))) for c in all_choices])
    shares = terms.mean(axis=0) @ of_choices
    scaled = np.divide(of_choices, shares, out=np.zeros_like(of_choices), where=shares > 0)
    for name, measured in latencies.items():
        if name in SOURCES:
            continue
        values = np.append(measured, of_more.get(name, []))
        yield {
            "name": name,
            "group": "FBNet, 18 devices" + ("; FBNet, 3 platforms of HELP's" if name in PLATFORMS else ""),
            "terms": terms,
            "macs": macs_of.astype(float),
            "latency_ms": values,
            "sources": sources,
            "priced": np.zeros((0, terms.shape[1])),
            "directions": (scaled * values[: len(choices)].mean(),),
            "fitted": fitted,
            "plain": terms @ of_choices,
        }


def additive(path: Path, dpus: Path) -> None:
    """Prints how well each column is a sum of a look-up table: fitted on half of the networks, scored on the others."""
    choices, latencies = read(path)
    sets = [("FBNet", one_hot(choices), latencies)]
    of = {name: read_timed(dpus, f"{name}_ms") for name in ("zcu102", "vck190")}
    blocks = next(iter(of.values())).blocks
    distinct = {block: i for i, block in enumerate(dict.fromkeys(b for network in blocks for b in network))}
    counts = np.zeros((len(blocks), len(distinct)))
    for row, network in zip(counts, blocks, strict=True):
        np.add.at(row, [distinct[block] for block in network], 1.0)
    sets.append(("Accel-NASBench", counts, {name: timed.latency_ms for name, timed in of.items()}))
    print("| set | device | MAPE of sums (%) | worst | |\n|---|---|---|---|---|")
    for name, terms, columns in sets:
        for device, measured in columns.items():
            half = np.arange(len(measured)) % 2 == 0
            table = table_of(terms[half], measured[half])
            error = 100 * np.abs(terms[~half] @ table / measured[~half] - 1)
            said = "a sum of a table" if error.max() < 0.1 else "measured"
            print(f"| {name} | {device} | {error.mean():.3f} | {error.max():.2f} | {said} |", flush=True)
