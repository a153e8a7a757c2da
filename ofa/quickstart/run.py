"""Runs the steps, each as a process of its own, and remembers how far it has come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ofa.cli.rich_console import CHAINED
from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.quickstart.config import QuickstartConfig
from ofa.quickstart.forecast import forecast
from ofa.quickstart.photos import check_apart, count_photos
from ofa.quickstart.plan import COLLECT, TRAIN, USUAL, choose, estimates, with_subnets
from ofa.quickstart.speed import measure_speed
from ofa.quickstart.state import QuickstartState, read_state
from ofa.quickstart.steps import CommandStep, Places, steps_of
from ofa.runs import system
from ofa.runs.lock import Lock
from ofa.runs.settings import identity_of
from ofa.runs.stopping import stop_on_signals

STOPPED = 130
NEEDED = ("PIL", "onnx", "onnxruntime")  # of steps that come after minutes of others
FASTER, SLOWER = 0.4, 4.0  # bounds of what a finished training says of the machine's speed


@dataclass(frozen=True)
class QuickstartWatcher:
    """How a run reports its progress.

    note: given a line
    begin: given a step's number, how many there are, the step, its words, and the seconds that it and all that are left
        should take
    ended: given a step and the seconds that it took; failed: one that is not needed, and its exit code
    """

    note: Callable[[str], object] = lambda _: None
    begin: Callable[[int, int, CommandStep, Sequence[str], float, float], object] = lambda *_: None
    ended: Callable[[CommandStep, float], object] = lambda *_: None
    failed: Callable[[CommandStep, int], object] = lambda *_: None


@dataclass(frozen=True)
class QuickstartResult:
    """code: 0 where all is done, else that of the step which failed, or 130; step: which one that was"""

    code: int
    state: QuickstartState
    places: Places
    step: CommandStep | None = None


def run_quickstart(
    config: QuickstartConfig,
    watcher: QuickstartWatcher | None = None,
    run: Callable[[Sequence[str]], int] | None = None,
) -> QuickstartResult:
    """Runs all steps that are not done; with `config.dry_run` only reports them.

    run: runs a command line and gives its exit code, 130 where it was stopped (default: `run_command`)
    Raises InputError for photographs that nothing can be learnt from, or a folder of another run.
    """
    watcher = QuickstartWatcher() if watcher is None else watcher
    images, places = _no_option(config.images), Places(_no_option(config.out))
    for package in NEEDED:
        require(package, "ofa.quickstart")
    check_apart(config.images, config.out)
    settings = identity_of(config)
    if places.state.exists() and not config.resume and not config.dry_run:
        raise InputError(f"{config.out} already has a run: continue it with --resume, or choose another --out")
    if not places.state.exists() and not config.dry_run and (others := [p for p in places.made if p.exists()]):
        raise InputError(f"{others[0]} is there already, and this run would replace it: choose another --out")
    with nullcontext() if config.dry_run else Lock(places.state):
        state = _opened(config, places, settings, watcher)
        steps = steps_of(images, places, state.photos)
        state = state.without(_outdated(state, steps))
        return _run(config, places, state, steps, watcher, run or partial(run_command, threads=state.speed.threads))


def _no_option(path: Path) -> Path:
    """A path that commands do not take for an option: it may be called "-photos"."""
    return path.absolute() if str(path).startswith("-") else path


def _opened(
    config: QuickstartConfig, places: Places, settings: dict[str, object], watcher: QuickstartWatcher
) -> QuickstartState:
    """The state of an earlier run, or of a new one: the photographs counted, the machine's speed measured."""
    if config.resume and places.state.exists():
        return read_state(places.state, settings)
    photos = count_photos(config.images)
    for line in photos.lines:
        watcher.note(line)
    speed = measure_speed(USUAL.resolutions, photos.decode_s)
    if speed.threads is not None:
        words = "a trial was faster with one thread than with all, as beside other programs"
        watcher.note(f"{words}: commands run with OMP_NUM_THREADS={speed.threads}")
    plan = choose(photos, speed, config.minutes, from_scratch=config.from_scratch)
    for line in forecast(plan, photos, speed, config.minutes):
        watcher.note(line)
    state = QuickstartState(settings, photos, speed, plan)
    if not config.dry_run:
        state.save(places.state)
    return state


def _outdated(state: QuickstartState, steps: Sequence[CommandStep]) -> tuple[str, ...]:
    """The steps from the first on that is not done, or whose file has gone."""
    for i, step in enumerate(steps):
        if step.name not in state.done or not (step.makes.exists() or step.name in state.failed):
            return tuple(later.name for later in steps[i:])
    return ()


def _run(
    config: QuickstartConfig,
    places: Places,
    state: QuickstartState,
    steps: Sequence[CommandStep],
    watcher: QuickstartWatcher,
    run: Callable[[Sequence[str]], int],
) -> QuickstartResult:
    """Step after step, until one is stopped or fails."""
    uninterrupted: set[str] = set()
    for number, step in enumerate(steps, 1):
        if step.name in state.done:
            watcher.note(f"[{number}/{len(steps)}] {step.title}: done before")
            continue
        # what was begun is continued with the same words, or its command would refuse
        if step.name not in state.begun:
            state = _planned(config, state, step, uninterrupted)
        expected = estimates(state.plan, state.photos, state.speed)
        left = sum(expected[later.name] for later in steps[number - 1 :])
        words = [*step.words(state.plan), *(["--resume"] if step.resumes and step.name in state.begun else [])]
        watcher.begin(number, len(steps), step, words, expected[step.name], left)
        if config.dry_run:
            continue
        uninterrupted |= {step.name} - {*state.begun}
        state = state.beginning(step.name)
        state.save(places.state)
        began = time.monotonic()
        code = run([sys.executable, "-m", step.module, *words])
        well = code == 0 and step.makes.exists()
        if code == STOPPED or (not well and step.wanted):
            return QuickstartResult(code or 1, state, places, step)
        state = state.ended(step.name, time.monotonic() - began, well=well)
        state.save(places.state)
        if well:
            watcher.ended(step, state.done[step.name])
        else:
            watcher.failed(step, code)
    return QuickstartResult(0, state, places)


def _planned(
    config: QuickstartConfig, state: QuickstartState, step: CommandStep, uninterrupted: Collection[str]
) -> QuickstartState:
    """With the sizes of what is to come, by the speed that the training had."""
    if step.name != COLLECT:
        return state
    speed = state.speed
    if TRAIN in uninterrupted:
        expected = estimates(state.plan, state.photos, speed)[TRAIN]
        speed = speed.slower(min(SLOWER, max(FASTER, state.done[TRAIN] / expected)))
    left = config.minutes * 60 - sum(state.done.values())
    plan = with_subnets(state.plan, state.photos, speed, left, state.done)
    return replace(state, plan=plan, speed=speed)


def run_command(words: Sequence[str], threads: int | None = None) -> int:
    """Runs a command to its end, on this terminal; a signal that stops this process stops the command first.

    threads: that torch computes with (default: as the environment has it)
    """
    more = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    with stop_on_signals() as stopped:
        process = subprocess.Popen(words, env={**os.environ, **more, CHAINED: "1"})
        asked = False
        while True:
            try:
                code = process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                # Ctrl-C reaches the command too; other signals reach this process alone
                if stopped.is_set() and not asked:
                    system.pass_end_on(process)
                    asked = True
            except KeyboardInterrupt:  # the second
                process.kill()
    if stopped.is_set():
        return STOPPED
    return 128 - code if code < 0 else code  # as a shell has it: 137 where it was killed
