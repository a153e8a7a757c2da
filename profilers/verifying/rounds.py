"""Rounds of measuring, a journal each beside the output: verified.1.journal.jsonl, verified.2.journal.jsonl ...

What a round measures follows from what was measured before. So a run that is resumed reads the finished rounds as they
were, and measures only in the last one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ofa.blocks import Block
from ofa.model_files.lacking import in_words
from ofa.runs.journal import Journal, finish, refuse_interrupted
from ofa.space import SearchSpace, Subnet
from profilers.measuring.judge import Outcome, judge
from profilers.measuring.ledger import Ledger
from profilers.measuring.pace import Pace
from profilers.measuring.plan import VisitPlan
from profilers.measuring.target import Target
from profilers.verifying.verify_config import VerifyConfig
from profilers.whole_networks.beside import split
from profilers.whole_networks.choosing import CONTROLS, Chosen, Control
from profilers.whole_networks.measured import Measure, MeasuredNetwork, MeasuredNetworks, measure_networks

# with --quick: shares of the target's own warm-up and of the longest that a visit may take
QUICK_WARMUP, QUICK_SECONDS = 1 / 3, 1 / 4
QUICK_VISITS = 6


@dataclass(frozen=True)
class Timing:
    """rules: the protocol's; visits: of each network; controls: how many there are, of the table"""

    rules: Mapping[str, Any]
    visits: int
    controls: int


def timing_of(config: VerifyConfig, pace: Pace) -> Timing:
    """How long and how often networks are timed: as often as for a validation to choose, and again to certify."""
    if not config.quick:
        return Timing(pace.whole, config.visits or 2 * pace.whole_rounds, CONTROLS)
    rules = {
        **pace.whole,
        "warmup_seconds": pace.whole["warmup_seconds"] * QUICK_WARMUP,
        "max_seconds": pace.whole["max_seconds"] * QUICK_SECONDS,
    }
    return Timing(rules, config.visits or QUICK_VISITS, CONTROLS // 2)


@dataclass(frozen=True, eq=False)
class Rounds:
    """measure_into: a `Measure` that writes the journal it is given, and closes it

    file: the output, beside which the journals lie; settings: what they are bound to
    controls: of the table, timed again in every round; timing, seed: of `measure_networks`
    beside: the blocks of networks that are in no space, measured in the first round; measured_beside: what they took
    """

    space: SearchSpace
    controls: Sequence[Control]
    target: Target
    timing: Timing
    seed: int
    file: Path
    settings: Mapping[str, Any]
    resume: bool
    overwrite: bool
    measure_into: Callable[[Journal], Measure]
    beside: Sequence[tuple[Block, ...]] = ()
    measured_beside: list[MeasuredNetwork | None] = field(default_factory=list)

    def measure(self, number: int, subnets: Sequence[Subnet]) -> MeasuredNetworks:
        """Round `number`, from 1, of these networks."""
        beside = tuple(self.beside) if number == 1 else ()
        chosen = Chosen(self.space, self.space.encode(subnets), tuple(self.controls), beside)
        measure = self._measure(number, {**self.settings, "round": number, "networks": [s.to_dict() for s in subnets]})
        measured = measure_networks(
            chosen, self.target, measure, visits=self.timing.visits, seed=self.seed + number, rules=self.timing.rules
        )
        of_space, of_none = split(measured, len(subnets))
        self.measured_beside.extend(of_none)
        return of_space

    def _measure(self, number: int, settings: Mapping[str, Any]) -> Measure:
        path = journal_of(self.file, number)
        if self.resume and journal_of(self.file, number + 1).is_file():
            journal = Journal.read(path)
            journal.check(settings)
            return lambda plan, _target, _rules, _seed: as_it_was(plan, journal)
        if not self.resume and number == 1:
            check_begun(self.file, self.overwrite)
            for old in journals_of(self.file):
                old.unlink(missing_ok=True)
        return self.measure_into(Journal.begin(path, settings, resume=self.resume, overwrite=self.overwrite))


def journal_of(file: Path, number: int) -> Path:
    """That of a round, from 1. file: the output"""
    return file.with_name(f"{file.stem}.{number}.journal.jsonl")


def journals_of(file: Path) -> list[Path]:
    """Those there are of an output, the first round's first."""
    there = itertools.takewhile(Path.is_file, (journal_of(file, number) for number in itertools.count(1)))
    return list(there)


def check_begun(file: Path, overwrite: bool) -> None:
    """InputError where the rounds of an interrupted run would be thrown away unasked: its last one is not finished."""
    if not overwrite:
        refuse_interrupted(*journals_of(file)[-1:])


def finish_rounds(file: Path) -> None:
    """Marks them as those of a run whose output is written."""
    for last in journals_of(file)[-1:]:
        finish(last)


def as_it_was(plan: VisitPlan, journal: Journal) -> Outcome:
    """The outcome of a finished round: what failed then is not tried again."""
    outcome = judge(Ledger(plan, journal))
    runtime = outcome.hello.runtime if outcome.hello else ""
    for record in journal.records:
        if record.get("kind") == "failed" and record.get("id") in plan.models:
            outcome.failed[record["id"]] = in_words(str(record.get("message")), runtime)
        elif record.get("kind") == "result":
            outcome.failed.pop(record.get("id", ""), None)
    for name in outcome.failed:
        outcome.results.pop(name, None)
        outcome.without_good.discard(name)
    return outcome
