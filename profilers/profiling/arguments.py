"""The one place where a profiler's command line becomes values."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from ofa.cli.options import resolutions as resolution_list
from profilers.measuring.pace import CPU_PACE, ENERGY_SECONDS, Pace
from profilers.profiling.profile_options import PlanOptions

Options = TypeVar("Options")


def add_options(parsed: argparse.ArgumentParser, pace: Pace = CPU_PACE, out_required: bool = True) -> None:
    """The options of every profiler, of ProfileOptions: what is measured, how often, and where it goes."""
    add = parsed.add_argument
    add("--space", default="mbv3-w1.0", metavar="S", help="search space (default mbv3-w1.0)")
    add("--num-classes", type=int, default=1000, metavar="N", help="classes of the classifier (default 1000)")
    add("--resolutions", type=resolution_list, default=PlanOptions.resolutions, metavar="R",
        help="such as 128,160 or 128:224:32 (default 128,160,192,208,224; search interpolates between)")  # fmt: skip
    add("--batch-size", type=int, default=1, metavar="N", help="images a run (default 1)")
    add("--rounds", type=int, metavar="N",
        help=f"visits of a block, apart in time (default {pace.rounds}, with --quick {pace.quick_rounds})")  # fmt: skip
    add("--quick", action="store_true", help="a fraction of the time, noisier: for a first look")
    add("--energy", action="store_true",
        help=f"also millijoules a block, where the device tells: {2 * ENERGY_SECONDS:g} s a block more")  # fmt: skip
    add("--limit", type=int, metavar="N",
        help="only the first N blocks, to try it: not a complete table; one --resolutions is")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of the order of visits (default 0)")
    add("--timeout", type=float, default=60.0, metavar="S",
        help="seconds before a silent block is given up (default 60)")  # fmt: skip
    add("--name", metavar="NAME", help="what to call this device (default: its model)")
    add("--out", type=Path, required=out_required, metavar="CSV",
        help="the table to write; its journal is written next to it")  # fmt: skip
    again = parsed.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true",
        help="go on with the journal of an interrupted run, or retry blocks that failed or drifted")  # fmt: skip
    again.add_argument("--overwrite", action="store_true", help="start anew over an existing table or journal")


def options_of(kind: type[Options], args: argparse.Namespace, **others: object) -> Options:
    """The dataclass `kind`, its fields by name from what was parsed, or from `others`."""
    names = [field.name for field in fields(kind) if field.name not in others]  # type: ignore[arg-type]
    return kind(**{name: getattr(args, name) for name in names}, **others)


def command_line(module: str, argv: Sequence[str] | None) -> str:
    """The command as a user would type it."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
