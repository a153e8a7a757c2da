"""`python -m profilers.transfer`: an estimated table for a device that is not at hand, from a handful of networks.

A cost model is fitted on a table of a related device and scaled to whole networks that were timed on the target: one
factor, or with eight networks and more one factor a term, held together as cross-validation asks for. The table says
that it is estimated, what it rests on, and how well networks that a fit had not seen were predicted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ofa.cli.options import resolutions as resolution_list
from ofa.space import RESOLUTIONS
from ofa.tables import LatencyTable, find_table
from profilers.estimating.cost_model import LEAST_FOR_TERMS
from profilers.estimating.estimate import check_replaceable, estimate
from profilers.estimating.suggestion import suggestion, write_suggested_models, write_suggestion
from profilers.estimating.transfer_options import TransferOptions, check
from profilers.measuring.models import RUNTIMES
from profilers.profiling.arguments import command_line, options_of


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
    add("--networks", type=Path, metavar="CSV", help="networks and what they took; --suggest writes such a file")
    add("--column", metavar="C", help="which latency column, if the file has several")
    add("--suggest", type=int, metavar="N", help="write N networks to be timed to --out, instead of a table")
    add("--runtime", metavar="R", help=f"with --suggest, also write them as models: {', '.join(RUNTIMES)}")
    add("--from", dest="source", metavar="T",
        help="a table of a related device, best of the same kind and runtime; without one, at least "
        f"{LEAST_FOR_TERMS} networks")  # fmt: skip
    add(
        "--space",
        dest="spaces",
        action="append",
        metavar="S",
        help="a space the table is for (repeatable; default mbv3-w1.0)",
    )
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
    spaces = tuple(args.spaces or ["mbv3-w1.0"])
    return transfer(options_of(TransferOptions, args, spaces=spaces), command_line("profilers.transfer", argv))


def transfer(options: TransferOptions, command: str) -> int:
    """Writes an estimated table, or networks that are worth timing. command: as typed, for the table's header."""
    check(options)
    source = LatencyTable.load(find_table(options.source)) if options.source else None
    if options.suggest:
        return _suggest(options, source)
    check_replaceable(options.out, options.overwrite)
    table = estimate(options, source, command)
    table.save(options.out)
    print(f"wrote {options.out}: {len(table.rows)} blocks of {table.device}, estimated: {table.header['source']}")
    print(f"expected error: {table.header['expected_error']}")
    print(f"next: python -m ofa.search --table {options.out}")
    return 0


def _suggest(options: TransferOptions, source: LatencyTable | None) -> int:
    space, networks = suggestion(options, source)
    write_suggestion(options, space, networks)
    count = len(networks)
    print(f"wrote {options.out}: {count} networks of {space.name}, whose latency_ms is for you to fill in")
    if options.runtime:
        folder = write_suggested_models(options, space, networks)
        print(f"wrote {folder}: the same networks as models for {options.runtime}, with random weights")
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
