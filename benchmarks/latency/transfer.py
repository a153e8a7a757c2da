"""How well estimated tables predict: every figure of docs/results/transfer.md, from the files under latency_tables/.

python benchmarks/latency/transfer.py phones   # published networks of six phones, each from the device's others
python benchmarks/latency/transfer.py gpus     # HELP's GPUs: fitted on 10 of 500 networks, scored on the rest
python benchmarks/latency/transfer.py machine  # networks of the development machine: 2 to 20 fit, the rest score
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, blocks_of
from ofa.blocks.costs import block_macs
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from ofa.tables.network_times import read_networks
from profilers.estimating.cost_model import (
    TERMS,
    choose_strength,
    even_prior,
    fit_blocks,
    fit_table,
    network_terms,
    rescale,
    suggest,
    table_terms,
)

Floats = NDArray[np.float64]

TABLES = Path(__file__).resolve().parents[2] / "latency_tables"
PHONES = ("note8", "note10", "pixel1", "pixel2", "s7edge", "lg-g8")
OTHERS = ("1080ti-b64", "tx2-b16", "v100-b64", "xeon")
SOURCES = ("titan-xp-help-b64", "2080ti-help-b64", "v100-help-b64", "i7-8700k", "xeon-vm-onnxruntime", "note10")
# the nearest relative whose networks serve as the prior
RELATED = {"2080ti": "titan_rtx", "titan_rtx": "2080ti", "titan_xp": "titan_rtx", "v100": "2080ti"}
DRAWS = 30


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", choices=("phones", "gpus", "machine"))
    {"phones": phones, "gpus": gpus, "machine": machine}[parser.parse_args(argv).part]()
    return 0


# ---- phones


def phones() -> None:
    """Leave one out, over the networks of each device, for several formulations."""
    note10 = LatencyTable.load(find_table("note10"))
    few = np.array([name in ("pointwise", "dense", "operators", "weights") or "depth" in name for name in TERMS])
    ways: dict[str, tuple[LatencyTable, Callable[[list[Block]], Floats], float]] = {
        "MACs alone, one factor": (note10, macs, math.inf),
        "MACs by kind and operators, one factor": (note10, lambda blocks: table_terms(blocks)[:, few], math.inf),
        "all terms, one factor (as shipped)": (note10, table_terms, math.inf),
        "all terms, pixels in tiles of four, one factor": (note10, tiled, math.inf),
        "all terms, factors held by 0.1": (note10, table_terms, 0.1),
        "all terms, factors held by 0.01": (note10, table_terms, 0.01),
        "all terms, factors held by 0.001": (note10, table_terms, 0.001),
    }
    for name in ("i7-8700k", "xeon-vm-onnxruntime", "xeon-vm-tflite"):
        ways[f"from {name}, all terms, one factor"] = (LatencyTable.load(find_table(name)), table_terms, math.inf)
    print(f"{'':50}{'blocks':>8}{'median':>8}{'mean':>8}{'worst':>8}   per device (%)")
    for name, (table, terms_of, strength) in ways.items():
        latencies = np.array([row.latency_ms for row in table.rows])
        block_terms = terms_of([row.block for row in table.rows])
        prior = fit_blocks(block_terms, latencies)
        fitted = 100 * np.abs(block_terms @ prior / latencies - 1).mean()
        errors = {device: left_out(prior, device, terms_of, strength) for device in PHONES}
        every = np.abs(np.concatenate(list(errors.values())))
        shown = "  ".join(f"{device} {'/'.join(f'{e:.1f}' for e in found)}" for device, found in errors.items())
        print(f"{name:50}{fitted:8.1f}{np.median(every):8.2f}{every.mean():8.2f}{every.max():8.2f}   {shown}")
    print("\nother devices, one factor, worse of two networks (%)" + "".join(f"{source:>21}" for source in SOURCES))
    priors = [fit_table(LatencyTable.load(find_table(source))) for source in SOURCES]
    for device in OTHERS:
        worse = [np.abs(left_out(prior, device, table_terms, math.inf)).max() for prior in priors]
        print(f"{device:52}" + "".join(f"{error:21.1f}" for error in worse))


def macs(blocks: list[Block]) -> Floats:
    return np.array([[float(block_macs(block))] for block in blocks])


def tiled(blocks: list[Block]) -> Floats:
    """All terms, those of 1x1 and full convolutions with the pixels rounded up to tiles of four."""
    terms = table_terms(blocks)
    for row, block in zip(terms, blocks, strict=True):
        if block_macs(block):
            row[: TERMS.index("depthwise3")] *= block_macs(block, 4) / block_macs(block)
    return terms


def left_out(prior: Floats, device: str, terms_of: Callable[[list[Block]], Floats], strength: float) -> Floats:
    """(N,) signed per cent: each published network predicted from the device's others."""
    times = read_networks(TABLES / "networks" / f"{device}.csv")
    terms = np.stack([terms_of(list(blocks_of(get_space(space), net))).sum(axis=0) for space, net in times.networks])
    measured = times.latency_ms
    errors = []
    for i in range(len(measured)):
        others = np.arange(len(measured)) != i
        errors.append(100 * (terms[i] @ rescale(prior, terms[others], measured[others], strength) / measured[i] - 1))
    return np.array(errors)


# ---- GPUs


def help_networks(column: str, space: str = "mbv3-w1.2") -> tuple[Floats, Floats]:
    """(500, terms) and (500,) ms of one device and batch, taken to be of that space."""
    times = read_networks(TABLES / "networks" / "help-gpus.csv", f"{column}_ms")
    return network_terms([(space, subnet) for _, subnet in times.networks]), times.latency_ms


def gpus() -> None:
    """MAPE on the networks that were not drawn: median and worst of the draws."""
    draws = [np.random.default_rng(seed).choice(500, 10, replace=False) for seed in range(DRAWS)]
    print(f"MAPE (%) on the other 490 networks, median (worst) of {DRAWS} draws of 10; 'all': fitted and scored on all")
    ways = ("no prior", "even prior", "one factor", "a factor a term", "worst relative", "10 suggested")
    print(f"{'':14}{'all':>8}" + "".join(f"{way:>17}" for way in ways))
    for batch in (64, 32, 1):
        full = {gpu: help_networks(f"{gpu}_{batch}") for gpu in RELATED}
        weights = {gpu: fit_blocks(*networks) for gpu, networks in full.items()}
        for gpu, (terms, measured) in full.items():
            related = weights[RELATED[gpu]]
            suggested = [np.array(suggest(related, terms, 10))]
            cells = [
                scored(terms, measured, draws, fit_blocks),
                scored(terms, measured, draws, lambda t, m: scaled(even_prior(t), t, m)),
                scored(terms, measured, draws, partial(rescale, related, strength=math.inf)),
                scored(terms, measured, draws, partial(scaled, related)),
                max(
                    (scored(terms, measured, draws, partial(scaled, w)) for g, w in weights.items() if g != gpu),
                    key=np.median,
                ),
                scored(terms, measured, suggested, partial(scaled, related)),
            ]
            itself = 100 * np.abs(terms @ weights[gpu] / measured - 1).mean()
            shown = "".join(f"{np.median(c):9.2f} ({c.max():5.2f})" for c in cells)
            print(f"{gpu + f' b{batch}':14}{itself:8.2f}{shown}", flush=True)
    for space in ("mbv3-w1.0", "mbv3-w1.2"):
        fits = [(terms, ms, fit_blocks(terms, ms)) for terms, ms in (help_networks(f"{g}_64", space) for g in RELATED)]
        shown = "  ".join(f"{100 * np.abs(terms @ w / ms - 1).mean():.2f}" for terms, ms, w in fits)
        print(f"batch 64, all 500, if they are of {space}: {shown} ({', '.join(RELATED)})")


def scaled(prior: Floats, terms: Floats, measured: Floats) -> Floats:
    """Weights as the command finds them."""
    return rescale(prior, terms, measured, choose_strength(prior, terms, measured))


def scored(
    terms: Floats, measured: Floats, draws: list[NDArray[np.int64]], fit: Callable[[Floats, Floats], Floats]
) -> Floats:
    """(draws,) MAPE, per cent: fitted on the networks drawn, scored on the rest."""
    found = []
    for rows in draws:
        rest = np.setdiff1d(np.arange(len(measured)), rows)
        predicted = terms[rest] @ fit(terms[rows], measured[rows])
        found.append(100 * np.abs(predicted / measured[rest] - 1).mean())
    return np.array(found)


# ---- a machine whose networks were measured here


def machine() -> None:
    """Tables of one machine and runtime scaled to another by few of its measured networks."""
    print(f"MAPE (%) on the other networks, median (worst) of {DRAWS} draws")
    print(f"{'from -> to':50}" + "".join(f"{f'{n} networks':>17}" for n in (2, 5, 10, 20)))
    for runtime, other in (("onnxruntime", "tflite"), ("tflite", "onnxruntime")):
        found = json.loads((TABLES / f"xeon-vm-{runtime}.validation.json").read_text())
        space = get_space(found["space"])
        networks = [(space.name, space.subnet_from_dict(n["subnet"])) for n in found["networks"]]
        terms, measured = network_terms(networks), np.array([n["measured_ms"] for n in found["networks"]])
        for source in ("i7-8700k", "note10", f"xeon-vm-{other}", f"xeon-vm-{runtime}"):
            prior = fit_table(LatencyTable.load(find_table(source)))
            cells = []
            for count in (2, 5, 10, 20):
                draws = [
                    np.random.default_rng(seed).choice(len(measured), count, replace=False) for seed in range(DRAWS)
                ]
                errors = scored(terms, measured, draws, partial(scaled, prior))
                cells.append(f"{np.median(errors):9.2f} ({errors.max():5.2f})")
            print(f"{f'{source} -> xeon-vm-{runtime}':50}" + "".join(cells), flush=True)


if __name__ == "__main__":
    sys.exit(main())
