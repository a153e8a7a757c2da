"""One measurement from its ledger to its outcome: agents are driven, their samples judged, what lacks is made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ofa.runs.journal import Journal
from profilers.measuring.conversation import agents_stay
from profilers.measuring.drive import Driver
from profilers.measuring.events import Event
from profilers.measuring.halving import mend
from profilers.measuring.judge import Outcome, judge, lacking
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import Files, plan_being_written, write_parts, write_plan
from profilers.measuring.plan import VisitPlan
from profilers.measuring.target import Target

# passes beyond the plan's
REPEATS = 2


def carry_out(driver: Driver) -> Outcome:
    """Makes every visit, then again those that drifted or were disturbed throughout, at most twice.

    Networks in parts that fail are cut into pieces that run.
    """
    ledger = driver.ledger
    driver.make_pass()
    mend(driver)
    for _ in range(REPEATS):
        again = lacking(ledger)
        if not again:
            break
        ledger.begin_pass(again)
        driver.make_pass()
        mend(driver)
    return judge(ledger)


def measure_on(
    target: Target,
    plan: VisitPlan,
    rules: Mapping[str, Any],
    seed: int,
    journal: Journal,
    folder: Path,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Writes the plan's models into the folder and has them timed by the target's agents.

    rules: the protocol's; progress: told how many visits are made, and how many there will be
    """
    ledger = Ledger(plan, journal)  # which may know pieces of the plan's networks
    where = target.runtime, folder, target.batch, target.dtype

    def write(of: VisitPlan, names: Sequence[str]) -> dict[str, Files]:
        return write_parts(of, names, *where)

    def carried_out(
        files: Mapping[str, Files], start: Callable[[Mapping[str, Any]], Iterator[Event]], **more: Any
    ) -> Outcome:
        manifest = {**target.manifest, "seed": seed, "rules": rules, **more}
        driver = Driver(ledger, files, manifest, start, progress=progress, tries=target.tries, write=write)
        with agents_stay(folder):
            return carry_out(driver)

    start = partial(target.start, folder)
    if not target.awaits_models:
        return carried_out(write_plan(ledger.plan, *where), start)
    with plan_being_written(ledger.plan, *where) as writing:
        return carried_out(writing.files, lambda manifest: writing.while_sound(start(manifest)), awaits=writing.order)
