"""TABLE.margin.json: the networks that searches found, and what they took on every occasion; and the margin of that."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InputError
from ofa.reading.numbers import MILLISECONDS, Bounds
from ofa.reading.structured import as_object, read_json
from ofa.runs.files import write_json
from ofa.runs.settings import Difference
from ofa.space import SearchSpace
from ofa.tables import LatencyTable
from ofa.tables.margin import MARGIN, Margins, rounded_up
from profilers.whole_networks.winners import Winner, Winners

FEWEST_OCCASIONS = 2
VERSION = 1
COUNTED = Bounds(0, 1e6, "networks")
COST = Bounds(-100, 100, "per cent")
# a sum, in ms, as a file rounds it
ROUNDING_MS = 2e-6


@dataclass(frozen=True)
class Occasion:
    """when: its end, in UTC; machine_pct: by how much controls took longer than in the table

    measured_ms: of every network, in the order of the file
    doubtful: how many networks the machine was busy or drifted throughout
    """

    when: datetime
    machine_pct: float
    measured_ms: tuple[float, ...]
    doubtful: int = 0

    def to_dict(self) -> dict[str, Any]:
        when = self.when.isoformat(timespec="seconds")
        facts = {"when": when, "machine_pct": self.machine_pct, "doubtful": self.doubtful}
        return {**facts, "measured_ms": list(self.measured_ms)}


@dataclass(frozen=True)
class Check:
    """Networks of neither occasion that were found with the margin: what they took on one occasion."""

    confidence: float
    occasion: Occasion
    winners: tuple[Winner, ...]
    costs_top1: tuple[float, ...]

    @property
    def kept(self) -> int:
        """How many keep their limits."""
        return sum(m <= w.limit_ms for m, w in zip(self.occasion.measured_ms, self.winners, strict=True))

    @property
    def within_sum(self) -> int:
        """How many would keep a limit that is their sum: without a margin."""
        return sum(m <= w.predicted_ms for m, w in zip(self.occasion.measured_ms, self.winners, strict=True))

    def to_dict(self) -> dict[str, Any]:
        return {
            "confidence": self.confidence,
            **self.occasion.to_dict(),
            "kept": self.kept,
            "within_sum": self.within_sum,
            "costs_top1": [round(cost, 4) for cost in self.costs_top1],
            "winners": [winner.to_dict() for winner in self.winners],
        }


@dataclass
class Measured:
    """The file. settings: of the command, the table and the predictor; space: its name"""

    path: Path
    settings: Mapping[str, Any]
    space: str
    winners: Winners
    occasions: list[Occasion] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Measured / predicted of every network, on its worst occasion."""
        worst = np.max([occasion.measured_ms for occasion in self.occasions], axis=0)
        return [rounded_up(ms / winner.predicted_ms) for ms, winner in zip(worst, self.winners.all, strict=True)]

    def margins(self) -> Margins | None:
        """None with too few occasions."""
        if len(self.occasions) < FEWEST_OCCASIONS:
            return None
        ratios, count = self.ratios(), len(self.winners.fast)
        when = ", ".join(f"{occasion.when:%Y-%m-%d %H:%M}" for occasion in self.occasions)
        rests_on = (
            f"{len(ratios)} networks of {self.space} found by searches within log-uniform limits, each with a "
            f"predictor of members drawn anew; measured / predicted on the worst of {len(self.occasions)} occasions "
            f"({when} UTC)"
        )
        halves = tuple(ratios[:count]), tuple(ratios[count:])
        return Margins("searched", self.winners.split_ms, *halves, rests_on, self.space)

    def require_apart(self, minutes: float) -> None:
        """InputError where the last occasion is too near."""
        if self.occasions and now() < (free := self.occasions[-1].when + timedelta(minutes=minutes)):
            raise InputError(
                f"{self.path}: the last occasion ended at {self.occasions[-1].when:%Y-%m-%d %H:%M} UTC: another one "
                f"begins at {free:%Y-%m-%d %H:%M} UTC or later (--apart {minutes:g} minutes)"
            )

    def save(self) -> None:
        w = self.winners
        content = {
            "version": VERSION,
            "settings": self.settings,
            "split_ms": w.split_ms,
            "fast": [winner.to_dict() for winner in w.fast],
            "slow": [winner.to_dict() for winner in w.slow],
            "occasions": [occasion.to_dict() for occasion in self.occasions],
            "checks": [check.to_dict() for check in self.checks],
        }
        write_json(self.path, content)


def read_measured(path: Path, settings: Mapping[str, Any], table: LatencyTable, space: SearchSpace) -> Measured:
    """The file as it is; InputError where it is damaged or edited, or of other settings or another table."""
    try:
        stated = read_json(path)
    except InputError as error:
        raise InputError(f"{error}: start again with --overwrite") from None
    if stated.get("version") != VERSION:
        raise InputError(f"{path}: not a file of profilers.margin, version {VERSION}: start again with --overwrite")
    if different := Difference.between(as_object(stated.get("settings"), f"{path}: settings"), settings):
        way_out = different.way_out("start again with --overwrite")
        raise InputError(f"{path} was begun {different.words()}: {way_out}")
    try:
        winners = Winners(
            MILLISECONDS.check("split_ms", stated.get("split_ms")),
            *(
                tuple(Winner.from_dict(one, space, f"{half}[{i}]") for i, one in enumerate(stated[half]))
                for half in ("fast", "slow")
            ),
        )
        count = len(winners.all)
        occasions = [_occasion(one, count) for one in stated["occasions"]]
        checks = [_check(one, space) for one in stated["checks"]]
        _check_sums(table, space, winners, checks)
        return Measured(path, settings, space.name, winners, occasions, checks)
    except InputError as error:
        raise InputError(f"{path}: damaged: {error}: start again with --overwrite") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}): start again with --overwrite") from None


def _check_sums(table: LatencyTable, space: SearchSpace, winners: Winners, checks: Sequence[Check]) -> None:
    """InputError where networks are not what a search in the table finds within their limits."""
    for half, least, most in (("fast", 0.0, winners.split_ms), ("slow", winners.split_ms, math.inf)):
        for i, winner in enumerate(getattr(winners, half)):
            if not least <= winner.limit_ms <= most or winner.predicted_ms > winner.limit_ms + ROUNDING_MS:
                raise InputError(f"{half}[{i}] does not lie within its limit, or the limit not in that half: edited")
    named = [
        *((f"{half}[{i}]", w) for half in ("fast", "slow") for i, w in enumerate(getattr(winners, half))),
        *((f"checks[{c}].winners[{i}]", w) for c, check in enumerate(checks) for i, w in enumerate(check.winners)),
    ]
    sums = table.latency_ms(space, space.encode([winner.subnet for _, winner in named]))
    for (name, winner), ms in zip(named, sums, strict=True):
        if abs(winner.predicted_ms - ms) > ROUNDING_MS:
            raise InputError(f"{name}.predicted_ms is {winner.predicted_ms:.6g}, but {ms:.6g} by the table: edited")


def _occasion(stated: Any, count: int) -> Occasion:
    one = as_object(stated, "occasions")
    when = datetime.fromisoformat(one["when"])
    measured = tuple(MILLISECONDS.check("measured_ms", ms) for ms in one["measured_ms"])
    if len(measured) != count or when.tzinfo is None or not math.isfinite(one["machine_pct"]):
        raise InputError("an occasion is not of these networks")
    if when > now() + timedelta(days=1):
        raise InputError(f"an occasion is in the future, {when:%Y-%m-%d}")
    return Occasion(when, float(one["machine_pct"]), measured, COUNTED.whole("doubtful", one.get("doubtful", 0)))


def _check(stated: Any, space: SearchSpace) -> Check:
    one = as_object(stated, "checks")
    winners = tuple(Winner.from_dict(w, space, f"checks: winners[{i}]") for i, w in enumerate(one["winners"]))
    costs = tuple(COST.check("costs_top1", cost) for cost in one["costs_top1"])
    if not winners or len(costs) != len(winners):
        raise InputError("a check is not of its networks")
    return Check(float(one["confidence"]), _occasion(one, len(winners)), winners, costs)


def table_identity(table: LatencyTable) -> str:
    """Of what sums rest on: the rows and the correction."""
    return hashlib.sha256(repr((table.rows, str(table.sum_correction))).encode()).hexdigest()


def with_margins(table: LatencyTable, margins: Margins, checks: Sequence[Check], sums: str) -> LatencyTable:
    """The table with what its header says of margins, and of networks that were measured to check them.

    sums: of the table that the networks were searched by: the file may have been edited since
    """
    kept = {key: text for key, text in table.header.items() if not key.startswith(MARGIN)}
    facts = replace(margins, sums=sums).to_header()
    if checks:
        facts["margin_checked"] = checked_words(checks)
    return LatencyTable({**kept, **facts}, table.rows, table.path)


def checked_words(checks: Sequence[Check]) -> str:
    """What all checks together found."""
    networks, kept, alone = (
        sum(of) for of in zip(*((len(c.winners), c.kept, c.within_sum) for c in checks), strict=True)
    )
    asked = " or ".join(f"{confidence:g}" for confidence in sorted({check.confidence for check in checks}))
    costs = [cost for check in checks for cost in check.costs_top1]
    return (
        f"{kept} of {networks} other networks, found with a confidence of {asked} %, kept their limits; {alone} took "
        f"at most their sums; the margin costs {np.mean(costs):.2f} % top-1 on average, {max(costs):.2f} at most"
    )


def now() -> datetime:
    return datetime.now(UTC)
