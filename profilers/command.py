"""What every profiler command has in common: its options, a measurement from plan to journal, and the table."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ofa import __version__
from ofa.blocks import all_blocks
from ofa.cli.options import resolutions as resolution_list
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, get_space
from ofa.tables import LatencyTable, TableRow
from profilers.agent_session import Event
from profilers.header import device_header, device_model, device_name, known, quality_header
from profilers.journal import Journal
from profilers.measure import Measurement, Outcome
from profilers.plan import Plan, make_plan, write_models
from profilers.statistics import summarise

REFERENCE_EVERY = 20
RULES = {
    "warmup_runs": 4,
    "warmup_seconds": 0.02,
    "min_runs": 30,
    "max_runs": 400,
    "max_seconds": 0.15,
    "target_error": 0.002,
    "min_sample_us": 50,
}
# long enough for a counter that moves ten times a second
ENERGY_SECONDS = 0.3


@dataclass(frozen=True)
class Pace:
    """How long one visit takes, as the protocol's rules, and how many visits there are.

    rules, rounds: of blocks; quick, quick_rounds: for a first look; whole, whole_rounds: of whole networks
    """

    rules: Mapping[str, Any]
    rounds: int
    quick: Mapping[str, Any]
    quick_rounds: int
    whole: Mapping[str, Any]
    whole_rounds: int


CPU_PACE = Pace(
    rules=RULES,
    rounds=5,
    quick={**RULES, "warmup_seconds": 0.01, "min_runs": 15, "max_seconds": 0.05, "target_error": 0.005},
    quick_rounds=3,
    # the caches need longer to settle for a whole network than for a block
    whole={**RULES, "warmup_seconds": 0.15, "max_seconds": 0.4},
    whole_rounds=5,
)


@dataclass(frozen=True)
class Target:
    """A device, and how it is asked.

    runtime: what the models are written for, one of profilers.plan.RUNTIMES; batch: images a run
    manifest: the protocol's fields that concern the device: runtime, threads, cpus, ...; the journal is bound to them
    start: starts an agent, given the folder of the model files and a manifest, and yields what it says
    header: what the table is to say of the device beside what the agent tells
    tries: a block at which the agent died, or the device was lost, so often in a row is given up
    pace: how long and how often it is measured
    """

    runtime: str
    batch: int
    manifest: Mapping[str, Any]
    start: Callable[[Path, Mapping[str, Any]], Iterator[Event]]
    header: Mapping[str, str]
    tries: int = 1
    pace: Pace = CPU_PACE


@dataclass(frozen=True)
class Work:
    """What is to be measured, by the options. blocks: how many the space has; the plan may be of the first few."""

    space: SearchSpace
    blocks: int
    plan: Plan
    rules: Mapping[str, Any]
    rounds: int


def add_options(parsed: argparse.ArgumentParser, pace: Pace = CPU_PACE, out_required: bool = True) -> None:
    """The options of every profiler: what is measured, how often, and where it goes."""
    add = parsed.add_argument
    add("--space", default="mbv3-w1.0", metavar="S", help="search space (default mbv3-w1.0)")
    add("--num-classes", type=int, default=1000, metavar="N", help="classes of the classifier (default 1000)")
    add("--resolutions", type=resolution_list, default=(128, 160, 192, 208, 224), metavar="R",
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


def require_positive(args: argparse.Namespace, *names: str) -> None:
    """InputError for a count that was given and is below 1."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected at least 1")


def command_line(module: str, argv: Sequence[str] | None) -> str:
    """The command as a user would type it."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])


def planned(args: argparse.Namespace, pace: Pace = CPU_PACE) -> Work:
    """What the options ask for; InputError if they make no sense."""
    require_positive(args, "batch_size", "rounds", "limit")
    space = get_space(args.space, args.num_classes, {*RESOLUTIONS, *args.resolutions})
    blocks = all_blocks(space, args.resolutions)
    rules, rounds = (pace.quick, pace.quick_rounds) if args.quick else (pace.rules, pace.rounds)
    rounds = args.rounds or rounds
    plan = make_plan([(block,) for block in blocks[: args.limit]], rounds, REFERENCE_EVERY, args.seed)
    return Work(space, len(blocks), plan, rules, rounds)


def profile(args: argparse.Namespace, target: Target, command: str) -> int:
    """Measures every block of the space on the target into the table args.out; 1 if blocks failed.

    args: of `add_options`; command: as typed, for the table's header.
    """
    started = time.monotonic()
    work = planned(args, target.pace)
    if args.energy:
        target = replace(target, manifest={**target.manifest, "energy_seconds": ENERGY_SECONDS})
    settings = {
        "space": work.space.name,
        "num_classes": work.space.num_classes,
        "resolutions": list(args.resolutions),
        "batch": args.batch_size,
        "rounds": work.rounds,
        "blocks": len(work.plan.models),
        "seed": args.seed,
        "rules": work.rules,
        **target.manifest,
    }
    journal = open_journal(args, settings)
    console = Console()
    resume = command if args.resume else f"{command.replace(' --overwrite', '')} --resume"
    outcome = measure(work.plan, target, work.rules, args.seed, journal, console, resume)
    return report(args, console, work, outcome, target, command, resume, time.monotonic() - started)


def measure(
    plan: Plan,
    target: Target,
    rules: Mapping[str, Any],
    seed: int,
    journal: Journal,
    console: Console,
    resume: str,
) -> Outcome:
    """Writes the plan's models and has them timed, with a progress bar; closes the journal.

    Ctrl-C and SIGTERM exit with 130, saying how to go on: by the command `resume`.
    """
    manifest = {**target.manifest, "seed": seed, "rules": rules}
    try:
        with tempfile.TemporaryDirectory(prefix="ofa-models-") as name, ended_by_sigterm():
            folder = Path(name)
            console.print(f"writing {len(plan.models)} models for {target.runtime}", highlight=False)
            files = write_models(plan, target.runtime, folder, target.batch)
            with _shown_progress(console) as progress:
                return Measurement(
                    plan,
                    files,
                    manifest,
                    lambda asked: target.start(folder, asked),
                    journal,
                    reference_every=REFERENCE_EVERY,
                    progress=progress,
                    tries=target.tries,
                ).run()
    except KeyboardInterrupt:
        print(f"stopped; what was measured is in {journal.path}; go on with: {resume}", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        journal.close()


def open_journal(args: argparse.Namespace, settings: Mapping[str, Any]) -> Journal:
    """A new or a resumed journal; InputError rather than losing an older table or journal."""
    path = args.out.with_suffix(".journal.jsonl")
    if args.out.is_dir() or args.out.suffix != ".csv":
        raise InputError(f"--out is {args.out}, expected a file that ends in .csv")
    if args.resume and path.is_file():
        return Journal.resume(path, settings)
    if not args.overwrite and not args.resume:
        for existing, what in ((args.out, "exists"), (path, "is the journal of an interrupted run")):
            if existing.exists():
                raise InputError(f"{existing} {what}: go on with it by --resume, or start anew with --overwrite")
    if args.resume and args.out.exists():
        raise InputError(f"there is no journal {path} to resume; {args.out} exists: start anew with --overwrite")
    return Journal.create(path, settings)


@contextmanager
def ended_by_sigterm() -> Any:
    """SIGTERM ends the run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _shown_progress(console: Console) -> Any:
    """A callback (made, all): a bar with the time left, or a line now and then where there is no terminal."""
    if console.is_terminal:
        columns = (
            TextColumn("measuring"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("visits"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("measuring", total=None)
            yield lambda made, total: bar.update(task, completed=made, total=total)
        return
    started = time.monotonic()
    said = [started, 0.0]

    def line(made: int, total: int) -> None:
        now = time.monotonic()
        said[1] = said[1] or made  # what a resumed journal held took no time
        if now - said[0] >= 15 and made > said[1]:
            said[0] = now
            left = (now - started) / (made - said[1]) * (total - made)
            print(f"measured {made} of {total} visits, about {left:.0f} s left", flush=True)

    yield line


def report(
    args: argparse.Namespace,
    console: Console,
    work: Work,
    outcome: Outcome,
    target: Target,
    command: str,
    resume: str,
    wall_s: float,
) -> int:
    """Writes the table and says what came of it; 1 if blocks failed."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    plan = work.plan
    for name, message in outcome.failed.items():
        say(f"failed: {plan.models[name][0]}: {message}")
    summaries = {name: summarise(results) for name, results in outcome.results.items()}
    if not summaries:
        raise InputError("no block could be measured: no table was written")
    rows = [
        TableRow(
            plan.models[name][0],
            s.latency_ms,
            s.mad_ms,
            s.p90_ms,
            s.runs,
            s.energy_mj,
            # doubtful visits are no samples of anything
            visits_ms=None if name in outcome.without_good else s.visits_ms,
        )
        for name, s in sorted(summaries.items())
    ]
    device = outcome.hello["device"]
    header = {
        "device": args.name or device_name(device),
        "soc": device_model(device),
        "runtime": outcome.hello["runtime"],
        **target.header,
        "batch": str(args.batch_size),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "tool": f"ofa-latency {__version__}",
        "provenance": "measured",
        "source": command,
        "space": work.space.name,
        "resolutions": known(list(args.resolutions)),
        **quality_header(plan, outcome, summaries),
    }
    # an agent tells facts of its device, and nothing else of the table
    header |= {key: text for key, text in device_header(device).items() if key not in header}
    if len(plan.models) < work.blocks:
        header["limit"] = f"the first {len(plan.models)} of {work.blocks} blocks"
    if outcome.failed:
        header["failed_blocks"] = str(len(outcome.failed))
    LatencyTable(header, rows).save(args.out)
    journal = args.out.with_suffix(".journal.jsonl")
    if args.energy and header.get("energy_blocks") != str(len(rows)):
        told = header.get("energy_blocks", "none")
        say(f"energy: told of {told} of {len(rows)} blocks; energy counter: {header['energy_counter']}")
    say(f"wrote {args.out}: {len(rows)} blocks, {wall_s:.0f} s; raw samples are in {journal}")
    if outcome.doubtful:
        say(
            f"the machine drifted or was busy in all visits of some blocks ({outcome.doubtful} visits), whose figures "
            f"are doubtful; on a quieter machine, try again with: {resume}"
        )
    if outcome.failed:
        say(f"{len(outcome.failed)} blocks failed; try them again with: {resume}")
        return 1
    if device.get("emulated") != "yes":
        say(f"next: python -m ofa.search --table {args.out}")
    return 0
