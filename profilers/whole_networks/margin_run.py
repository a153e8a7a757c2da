"""One run of `profilers.margin`: networks are drawn, measured on an occasion, and the table's header is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.errors import InputError
from ofa.predictors.accuracy import WEIGHTS
from ofa.predictors.prediction import Predictor
from ofa.runs.journal import Journal, finish, refuse_interrupted
from ofa.runs.lock import Lock, glob_escaped
from ofa.runs.settings import file_identity, identity_of
from ofa.search.config import SearchConfig
from ofa.search.run import open_searches
from ofa.search.specialise import DeviceSearch
from ofa.space import SearchSpace
from ofa.tables import LatencyTable, find_table
from profilers.measuring.target import Target
from profilers.profiling.command_words import continued
from profilers.profiling.console import measure_shown
from profilers.whole_networks.choosing import Chosen, controls_of
from profilers.whole_networks.margin_config import MarginConfig
from profilers.whole_networks.margin_report import say_check, say_occasion
from profilers.whole_networks.measured import MeasuredNetworks, measure_networks, reasons
from profilers.whole_networks.occasions import (
    Check,
    Measured,
    Occasion,
    now,
    read_measured,
    table_identity,
    with_margins,
)
from profilers.whole_networks.winners import Winner, draw_checks, draw_winners, genes_of_winners

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, eq=False)
class MarginRun:
    """settings: what the file of occasions is bound to; command: as typed"""

    config: MarginConfig
    command: str
    console: Console
    path: Path
    predictor: Predictor
    search: DeviceSearch
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, config: MarginConfig, command: str, console: Console) -> MarginRun:
        """InputError where the table was not measured, or does not fit the predictor."""
        path = find_table(config.table)
        asked = SearchConfig(
            table=(str(path),),
            predictor=config.predictor,
            space=config.space,
            num_classes=config.num_classes,
            resolutions=config.resolutions,
            allow_emulated=True,
        )
        predictor, searches = open_searches(asked)
        (search,) = searches.values()
        table, space = search.table, search.space
        if table.provenance != "measured":
            raise InputError(f"{path} is {table.provenance}: networks are measured where a table was: measure one here")
        if table.emulated:
            raise InputError(f"{path} was measured on an emulated device: what is measured there means nothing")
        settings = {
            **identity_of(config),
            "table": table_identity(table),
            "predictor": file_identity(config.predictor or WEIGHTS / f"{space.name}.safetensors", beside=".json"),
            "resolutions": list(search.resolutions),
        }
        return cls(config, command, console, path, predictor, search, settings)

    @property
    def table(self) -> LatencyTable:
        return self.search.table

    @property
    def space(self) -> SearchSpace:
        return self.search.space

    @property
    def file(self) -> Path:
        return self.path.with_suffix(".margin.json")

    def search_by(self, predictor: Predictor) -> DeviceSearch:
        """The search as it is but for the predictor."""
        return DeviceSearch(self.search.name, self.table, predictor, self.space, self.search.resolutions)

    def known(self) -> Measured | None:
        """The networks and earlier occasions; None where there are none yet.

        InputError where the file is damaged, or where what is asked for needs another occasion first, or a later one.
        """
        check = self.config.check is not None
        if not self.file.is_file() or self.config.overwrite:
            if check:
                raise InputError(
                    f"{self.file} is not there: nothing was measured that could be checked: leave --check out"
                )
            return None
        measured = read_measured(self.file, self.settings, self.table, self.space)
        if not check:
            measured.require_apart(self.config.apart)
        elif measured.margins() is None:
            raise InputError(f"{self.file}: measured on one occasion: measure on another one first, without --check")
        return measured

    def begin(self, count: int) -> Measured:
        """Draws the networks, and keeps them."""
        self.console.print(f"searching within {2 * count} limits", highlight=False)
        rng = np.random.default_rng(self.config.seed)
        winners = draw_winners(self.search_by, self.predictor, count, rng)
        measured = Measured(self.file, self.settings, self.space.name, winners)
        measured.save()
        for old in self.path.parent.glob(f"{glob_escaped(self.path.stem)}.margin.*.journal.jsonl"):
            old.unlink()  # of the occasions that were in the file before
        return measured

    def measure(self, measured: Measured, target: Target) -> int:
        """One occasion, or one check, on the table's device; 1 if it does not count."""
        if self.config.check is not None:
            return self._check(measured, target, self.config.check, self.config.confidence)
        return self._occasion(measured, target)

    def _occasion(self, measured: Measured, target: Target) -> int:
        """Measures the networks once more; 1 if that does not count."""
        number = len(measured.occasions) + 1
        made = self._measure(measured.winners.all, target, f"{number}", self.config.seed + number)
        if made is None:
            return 1
        measured.occasions.append(made)
        measured.save()
        self._write(measured)
        finish(self._journal_path(f"{number}"))
        say_occasion(measured, self.path, self.command, self.console.out)
        return 0

    def _check(self, measured: Measured, target: Target, count: int, confidence: float) -> int:
        """Measures other networks, found with the margin; 1 if that does not count."""
        margins = measured.margins()
        assert margins is not None  # `known` asked
        number = len(measured.checks) + 1
        rng = np.random.default_rng([self.config.seed, number])
        known = [*measured.winners.all, *(w for check in measured.checks for w in check.winners)]
        drawn = draw_checks(self.search, margins, confidence, count, known, rng)
        if not drawn:
            raise InputError(f"{self.file}: no network is left that was not measured yet: leave --check out")
        winners = tuple(one.winner for one in drawn)
        made = self._measure(winners, target, f"check{number}", self.config.seed + number)
        if made is None:
            return 1
        measured.checks.append(Check(confidence, made, winners, tuple(one.costs_top1 for one in drawn)))
        measured.save()
        self._write(measured)
        finish(self._journal_path(f"check{number}"))
        say_check(measured, self.path, self.console.out)
        return 0

    def _write(self, measured: Measured) -> None:
        """The margin into the table's header, as the file is now."""
        if (margins := measured.margins()) is None:
            return
        with_margins(LatencyTable.load(self.path), margins, measured.checks, self.table.sums).save(self.path)

    def _measure(self, winners: Sequence[Winner], target: Target, name: str, seed: int) -> Occasion | None:
        """What the networks take now; None, having said why, where some failed or the machine is not as it was."""
        genes, at = genes_of_winners(self.space, winners)
        journal = self._journal(name, genes.tolist())
        measure = partial(
            measure_shown,
            journal=journal,
            console=self.console,
            resume=continued(self.command),
        )
        visits = self.config.visits or target.pace.whole_rounds
        chosen = Chosen(self.space, genes, controls_of(self.table))
        found = measure_networks(chosen, target, measure, visits=visits, seed=seed)
        return self._counted(found, at.tolist(), journal.path)

    def _counted(self, found: MeasuredNetworks, at: Sequence[int], journal: Path) -> Occasion | None:
        say = self.console.out
        latencies = [None if network is None else network.latency_ms for network in found.networks]
        lacking = latencies.count(None)
        if lacking:
            say(f"{lacking} of {len(latencies)} networks could not be measured ({reasons(found.failed)}): not counted")
            say("--resume measures them again")
            return None
        if not found.same_machine:
            finish(journal)  # made in an hour that says nothing
            say(
                f"{found.machine_words()}: not counted. Something slows "
                "the machine now, or did then: close other programs and try again, or measure the table again"
            )
            return None
        measured = [float(ms) for ms in latencies if ms is not None]
        doubtful = sum(network is not None and network.doubtful for network in found.networks)
        return Occasion(now(), found.machine_pct, tuple(round(measured[i], 6) for i in at), doubtful)

    def _journal_path(self, name: str) -> Path:
        return self.path.with_suffix(f".margin.{name}.journal.jsonl")

    def _journal(self, name: str, genes: list[list[int]]) -> Journal:
        path = self._journal_path(name)
        settings = {**self.settings, "networks": genes, "visits": self.config.visits}
        resume, overwrite = self.config.resume, self.config.overwrite
        if not resume and not overwrite:
            Lock(path).release()  # who is at it is said first
            refuse_interrupted(
                path, anew="remove it to measure this occasion anew, or start all of them again with --overwrite"
            )
        return Journal.begin(path, settings, resume=resume, overwrite=overwrite)
