"""A measurement as a command shows it: how far it is, and how to go on with it when it is stopped."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.runs.places import temporary_folder
from ofa.runs.system import END_SIGNALS
from profilers.measuring.events import AgentFailed
from profilers.measuring.judge import Outcome
from profilers.measuring.plan import VisitPlan
from profilers.measuring.run import measure_on
from profilers.measuring.target import Target

# where there is no terminal, a line so often
LINE_EVERY_S = 15
# exit code of a run that Ctrl-C or SIGTERM ended: it can be gone on with
STOPPED = 130


def measure_shown(
    plan: VisitPlan,
    target: Target,
    rules: Mapping[str, Any],
    seed: int,
    journal: Journal,
    console: Console,
    resume: str,
) -> Outcome:
    """Writes the plan's models and has them timed, with a progress bar; closes the journal.

    Ctrl-C and SIGTERM exit with STOPPED, saying how to go on: by the command `resume`.
    """
    try:
        with temporary_folder("models") as folder, ended_by_sigterm():
            console.print(f"writing {len(plan.models)} models for {target.runtime}", highlight=False)
            with _shown_progress(console) as progress:
                return measure_on(target, plan, rules, seed, journal, folder, progress)
    except KeyboardInterrupt:
        print(f"stopped; what was measured is in {journal.path}; continue with: {resume}", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    finally:
        journal.close()


@contextmanager
def ended_with_words(journal: Journal, words: Callable[[], str]) -> Iterator[None]:
    """Closes the journal in the end, and says `words`, what there is and how to go on, if that comes too early.

    SystemExit with STOPPED after Ctrl-C and SIGTERM; InputError where an agent failed (AgentFailed).
    """
    try:
        with ended_by_sigterm():
            yield
    except KeyboardInterrupt:
        print(f"stopped{words()}", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except AgentFailed as failure:
        raise InputError(f"{failure}{words()}") from None
    finally:
        journal.close()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in END_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown_progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A callback (made, all): a bar with the time left, or a line now and then where there is no terminal."""
    if not console.is_terminal:
        yield _ProgressLines()
        return
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


class _ProgressLines:
    """Prints how far a measurement is, and how long the rest will take."""

    def __init__(self) -> None:
        self._last_line = time.monotonic()
        # what a resumed journal held took no time; and until the first visit is made, models are loaded
        self._already: int | None = None
        self._since: tuple[float, int] | None = None

    def __call__(self, made: int, total: int) -> None:
        now = time.monotonic()
        self._already = made if self._already is None else self._already
        if self._since is None:
            self._since = (now, made) if made > self._already else None
            return
        since, before = self._since
        if now - self._last_line >= LINE_EVERY_S and made > before:
            self._last_line = now
            print(Progressed(made, total, (now - since) / (made - before) * (total - made)), flush=True)


@dataclass(frozen=True)
class Progressed:
    """How far a measurement is. left_s: about how many seconds the rest takes"""

    made: int
    total: int
    left_s: float

    def __str__(self) -> str:
        return f"measured {self.made} of {self.total} visits, about {self.left_s:.0f} s left"


def progress_in(line: str) -> Progressed | None:
    """What a line of another process says of its progress; None for any other line."""
    found = re.fullmatch(r"measured (\d{1,9}) of (\d{1,9}) visits, about (\d{1,9}) s left", line, re.ASCII)
    return Progressed(int(found[1]), int(found[2]), float(found[3])) if found else None
