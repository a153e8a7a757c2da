"""`python -m profilers.transfer`: an estimated table for a device that is not at hand, from a handful of networks.

A cost model is fitted on a table of a related device and scaled to whole networks that were timed on the target: one
factor, or with eight networks and more one factor a term, held together as cross-validation asks for. The table says
that it is estimated, what it rests on, and how well networks that a fit had not seen were predicted.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ofa import __version__
from ofa.blocks import Block, all_blocks, blocks_of
from ofa.cli.options import resolutions as resolution_list
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, get_space
from ofa.tables import LatencyTable, TableRow, find_table
from profilers.command import command_line, require_positive
from profilers.cost_model import (
    LEAST_FOR_TERMS,
    Fit,
    even_prior,
    fit_networks,
    fit_table,
    network_terms,
    space_terms,
    suggest,
    table_terms,
)
from profilers.networks_file import NetworkTimes, read_networks, write_networks
from profilers.plan import RUNTIMES, Plan, check_runtime, write_models

CANDIDATES = 2000  # random sub-networks among which --suggest chooses
_FEW = 5  # networks, below which their own leave-one-out error says little
_NOT_STATED = "not stated by the source"


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m profilers.transfer",
        description="Estimate a latency table from whole networks timed on a device and a table of a related one, or, "
        "with --suggest, choose networks that are worth timing.",
        epilog="example: python -m profilers.transfer --suggest 10 --from note10 --runtime tflite --out networks.csv; "
        "fill in latency_ms; then python -m profilers.transfer --networks networks.csv --from note10 "
        '--device "My phone" --out my-phone.csv',
    )
    add = parsed.add_argument
    add("--networks", type=Path, metavar="CSV", help="networks and what they took (docs/transfer.md)")
    add("--column", metavar="C", help="which latency column, if the file has several")
    add("--suggest", type=int, metavar="N", help="write N networks to be timed to --out, instead of a table")
    add("--runtime", metavar="R", help=f"with --suggest, also write them as models: {', '.join(RUNTIMES)}")
    add("--from", dest="source", metavar="T",
        help="a table of a related device, best of the same kind and runtime; without one, at least "
        f"{LEAST_FOR_TERMS} networks")  # fmt: skip
    add("--space", action="append", metavar="S", help="a space the table is for (repeatable; default mbv3-w1.0)")
    add("--resolutions", type=resolution_list, default=RESOLUTIONS, metavar="R",
        help="such as 160,192 (default 128:224:4)")  # fmt: skip
    add("--num-classes", type=int, default=1000, metavar="N", help="classes of the classifier (default 1000)")
    add("--device", metavar="NAME", help="what to call the device (default: what the networks' file says)")
    add("--batch", type=int, metavar="N", help="images a run (default: what the networks' file says, else 1)")
    add("--seed", type=int, default=0, metavar="N", help="of --suggest's candidates (default 0)")
    add("--out", type=Path, required=True, metavar="CSV", help="the file to write")
    add("--overwrite", action="store_true", help="replace even a table that was measured or imported")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    require_positive(args, "suggest", "num_classes", "batch")
    if (args.networks is None) == (args.suggest is None):
        raise InputError("one of --networks and --suggest is needed")
    if args.out.suffix != ".csv":
        raise InputError(f"--out is {args.out}, expected a file that ends in .csv")
    args.space = args.space or ["mbv3-w1.0"]
    source = LatencyTable.load(find_table(args.source)) if args.source else None
    return _suggest(args, source) if args.suggest else _estimate(args, source, command_line("profilers.transfer", argv))


def _estimate(args: argparse.Namespace, source: LatencyTable | None, command: str) -> int:
    """Writes the estimated table."""
    if args.out.exists() and not args.overwrite:
        old = LatencyTable.load(args.out)
        if old.provenance != "estimated":
            raise InputError(f"{args.out} is {old.provenance}, which no estimate replaces unless told by --overwrite")
    times = read_networks(args.networks, args.column)
    count = len(times.networks)
    if source is None and count < LEAST_FOR_TERMS:
        raise InputError(
            f"{args.networks} has {count} networks: name a table of a related device with --from, or time at least "
            f"{LEAST_FOR_TERMS}"
        )
    device = args.device or times.header.get("device")
    if not device:
        raise InputError(f"{args.networks} does not say '# device: ...': name it with --device")
    terms = network_terms(times.networks)
    fit = fit_networks(even_prior(terms) if source is None else fit_table(source), terms, times.latency_ms)
    spaces = [get_space(name, args.num_classes, {*RESOLUTIONS, *args.resolutions}) for name in args.space]
    blocks = list(dict.fromkeys(block for space in spaces for block in all_blocks(space, args.resolutions)))
    how = f"of {args.source} ({source.device}, {source.provenance}), scaled to" if source else "fitted on"
    networks_source = times.header.get("source", "")
    rests_on = f"a cost model {how} {count} whole networks" + (f": {networks_source}" if networks_source else "")
    header = {
        "device": device,
        "runtime": times.header.get("runtime", _NOT_STATED),
        "threads": times.header.get("threads", _NOT_STATED),
        "batch": str(args.batch or times.header.get("batch", "1")),
        "dtype": times.header.get("dtype", _NOT_STATED),
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "tool": f"ofa-latency {__version__}",
        "provenance": "estimated",
        "source": rests_on,
        "command": command,
        "space": ", ".join(args.space),
        "resolutions": ", ".join(map(str, args.resolutions)),
        "scaled_by": "one factor"
        if math.isinf(fit.strength)
        else f"a factor a term, held together by {fit.strength:g}",
        "networks": describe(times),
        "expected_error": expected_error(fit, times),
    }
    LatencyTable(header, estimated_rows(fit, blocks)).save(args.out)
    print(f"wrote {args.out}: {len(blocks)} blocks of {device}, estimated: {rests_on}")
    print(f"expected error: {header['expected_error']}")
    print(f"next: python -m ofa.search --table {args.out}")
    return 0


def estimated_rows(fit: Fit, blocks: Sequence[Block]) -> list[TableRow]:
    """What the model says of every block, to four digits."""
    # a block none of whose terms the fit could tell from others' still takes some time
    latencies = np.maximum(table_terms(blocks) @ fit.weights_ms, 1e-6)
    return [TableRow(block, float(f"{ms:.4g}")) for block, ms in zip(blocks, latencies.tolist(), strict=True)]


def describe(times: NetworkTimes) -> str:
    """The range that the networks cover: what lies beyond it is extrapolated."""
    sizes = [subnet.resolution for _, subnet in times.networks]
    spaces = ", ".join(sorted({name for name, _ in times.networks}))
    low, high = times.latency_ms.min(), times.latency_ms.max()
    return f"{len(sizes)} of {spaces}, {min(sizes)} to {max(sizes)} px, {low:g} to {high:g} ms"


def expected_error(fit: Fit, times: NetworkTimes) -> str:
    """What is known of the error, in words, for the table's header."""
    errors = np.abs(fit.errors_pct)
    count = len(times.networks)
    if not len(errors):
        return "not known: one network fits the factor, and none is left to check it"
    far = f"95 % within {np.percentile(errors, 95):.1f}" if count > 20 else f"worst {errors.max():.1f}"
    text = f"mean {errors.mean():.1f} %, {far} % of {count} networks, each predicted from others"
    rounding = 50 * times.step_ms / times.latency_ms.min()
    if rounding > 0.5:
        text += f"; their own figures are rounded to {times.step_ms:g} ms, which is up to {rounding:.1f} %"
    if count < _FEW:
        text += f"; {count} networks say little, docs/transfer.md has more"
    return text


def _suggest(args: argparse.Namespace, source: LatencyTable | None) -> int:
    """Writes networks to be timed, and their models."""
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out} exists: replace it with --overwrite")
    if len(args.space) != 1:
        raise InputError("--suggest chooses networks of one --space")
    if args.runtime:
        check_runtime(args.runtime)
    space = get_space(args.space[0], args.num_classes, args.resolutions)
    genes = space.sample(np.random.default_rng(args.seed), CANDIDATES)
    terms = space_terms(space, genes)
    chosen = suggest(even_prior(terms) if source is None else fit_table(source), terms, args.suggest)
    subnets = space.decode(genes[chosen])
    names = [f"network-{i + 1:02d}" for i in range(len(chosen))]
    header = {"device": args.device or "", "batch": str(args.batch or 1)}
    rows = [(space.name, subnet) for subnet in subnets]
    write_networks(args.out, header, rows, {"latency_ms": [""] * len(rows)}, names)
    print(f"wrote {args.out}: {len(rows)} networks of {space.name}, whose latency_ms is for you to fill in")
    if args.runtime:
        folder = args.out.with_suffix(".models")
        folder.mkdir(parents=True, exist_ok=True)
        chains = {name: blocks_of(space, subnet) for name, subnet in zip(names, subnets, strict=True)}
        write_models(Plan(chains, names[0], ()), args.runtime, folder, args.batch or 1)
        print(f"wrote {folder}: the same networks as models for {args.runtime}, with random weights")
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
