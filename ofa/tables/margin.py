"""The margin: what a confidence takes off a latency limit, by networks that were measured whole.

About half of all networks are slower than their sum of blocks says, so that "sum <= limit" is a coin toss. The ratios
measured / predicted of n networks, in the order in which they were drawn, stand in a table's header. A further network
that is drawn as those were takes at most the k-th smallest ratio times its sum with a probability of k / (n + 1),
whatever the ratios' distribution (a rank among n + 1 exchangeable ones): the 38th of 39 for 95 %. So a search within
limit / that ratio keeps the limit with that confidence.

And the sustained factor: how many times as long as in short visits a network took that had run for minutes. A table is
of short visits. `python -m profilers.verify --sustained 10m --record` runs one network on the table's device for
minutes. A search within limit / factor keeps the limit on a hot device, as far as other networks slow as that one did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.reading.numbers import MILLISECONDS, Bounds, short

Floats = NDArray[np.float64]
Networks = Literal["searched", "random"]
RATIO = Bounds(0.01, 100, "measured / predicted latency")
MARGIN = "margin_"  # what header keys of margins begin with
_NETWORKS, _SPLIT, _FAST, _SLOW = "margin_networks", "margin_split_ms", "margin_fast", "margin_slow"
_RESTS_ON, _SUMS, _SPACE = "margin_rests_on", "margin_sums", "margin_space"
_STATED = 95.0
SUSTAINED = "sustained_"  # what header keys of the sustained factor begin with
FACTOR = Bounds(1, 100, "times")
_ERROR_OF_FACTOR = Bounds(0, 100, "times")
_FACTOR, _ERROR = "sustained_factor", "sustained_error"
SUSTAINED_KEYS = (_FACTOR, _ERROR, "sustained_network", "sustained_rests_on", "sustained_sums")
_MEASURE = "python -m profilers.margin --table T"


@dataclass(frozen=True)
class Margin:
    """ratio: limits are divided by it; rank: the ratio is the rank-th smallest of `of`

    limits: kept all at once, by `best` networks each
    """

    ratio: float
    confidence: float
    rank: int
    of: int
    limits: int
    best: int = 1

    @property
    def networks(self) -> int:
        """How many keep their limits, all at once."""
        return self.limits * self.best

    def less(self, limits_ms: Sequence[float]) -> list[float]:
        """The limits to search within, so that these are kept: whole nanoseconds, as sums are."""
        return [math.floor(limit / self.ratio * 1e6) / 1e6 for limit in limits_ms]

    def __str__(self) -> str:
        th = {1: "st", 2: "nd", 3: "rd"}.get(self.rank % 10 if self.rank % 100 not in (11, 12, 13) else 0, "th")
        what = "" if self.networks == 1 else f" runs of {self.networks} networks, each by its worst"
        return f"{self.ratio:.4f}, the {self.rank}{th} of {self.of}{what}"


@dataclass(frozen=True)
class Margins:
    """Ratios measured / predicted of whole networks, for limits up to `split_ms` and for those above.

    networks: "searched": found by searches within limits; "random": drawn at random, which a search does not do
    fast, slow: the ratios of either half of the latency range, as drawn
    rests_on: how they were measured, in words
    space: whose networks they are
    sums: of the table that predicted them (`LatencyTable.sums`), the only one that they hold for; "" where nobody says
    """

    networks: Networks
    split_ms: float
    fast: tuple[float, ...]
    slow: tuple[float, ...]
    rests_on: str
    space: str = ""
    sums: str = ""

    @classmethod
    def of_random(cls, predicted_ms: Floats, measured_ms: Floats, space: str, when: str, sums: str) -> Margins:
        """Of N networks that were drawn at random, at least two, and measured on one occasion; when: its date.

        The halves are those of the networks, by their sums.
        """
        order = np.random.default_rng(0).permutation(len(predicted_ms))  # they may be sorted by their sums
        split = float(f"{np.median(predicted_ms):g}")
        fast, slow = (
            tuple(rounded_up(measured_ms[i] / predicted_ms[i]) for i in order if (predicted_ms[i] <= split) == half)
            for half in (True, False)
        )
        rests_on = f"{len(order)} random networks of {space}, measured on one occasion ({when})"
        return cls("random", split, fast, slow, rests_on, space, sums)

    @classmethod
    def parse(cls, header: Mapping[str, str], name: str) -> Margins | None:
        """Of a table's header; None where it has none. InputError, beginning with `name`, where they are damaged."""
        keys = (_NETWORKS, _SPLIT, _FAST, _SLOW, _RESTS_ON)
        there = [key for key in keys if key in header]
        if not there:
            return None
        if lacking := [key for key in keys if key not in header]:
            raise InputError(f"{name}: header has {there[0]}, but no {lacking[0]}: put that line back, or take all out")
        networks = header[_NETWORKS]
        if networks not in get_args(Networks):
            raise InputError(f"{name}: header {_NETWORKS} is {short(networks)}, expected searched or random")
        split = MILLISECONDS.decimal(f"{name}: header {_SPLIT}", header[_SPLIT])
        fast, slow = (
            tuple(RATIO.decimal(f"{name}: header {key}", text) for text in header[key].split())
            for key in (_FAST, _SLOW)
        )
        if not fast or not slow:
            raise InputError(f"{name}: header {_SLOW if fast else _FAST} is empty, expected ratios")
        of = header.get(_SPACE, ""), header.get(_SUMS, "")
        return cls(networks, split, fast, slow, header[_RESTS_ON], *of)  # type: ignore[arg-type]

    def to_header(self) -> dict[str, str]:
        """The lines of a table's header, the margins of `_STATED` per cent first, for whoever reads it."""
        halves = []
        for words, limit in ((f"up to {self.split_ms:g} ms", self.split_ms), ("above", math.inf)):
            try:
                halves.append(f"{self.margin([limit], _STATED)} {words}")
            except InputError:
                halves.append(f"too few networks {words}")
        return {
            f"margin_{_STATED:g}": "; ".join(halves),
            _NETWORKS: self.networks,
            _SPLIT: f"{self.split_ms:g}",
            _FAST: " ".join(f"{ratio:.4f}" for ratio in self.fast),
            _SLOW: " ".join(f"{ratio:.4f}" for ratio in self.slow),
            _RESTS_ON: self.rests_on,
            **{key: text for key, text in ((_SPACE, self.space), (_SUMS, self.sums)) if text},
        }

    def margin(self, limits_ms: Sequence[float], confidence: float, best: int = 1, measure: str = _MEASURE) -> Margin:
        """What to divide these limits by, so that `best` networks each keep all of them at once with so many per cent.

        Of several networks a run of as many, of the same halves, is scored by its worst. InputError where
        there are too few networks for that. measure: the command that measures more of them
        """
        limits_ms = sorted(set(limits_ms))  # equal ones find the same network
        fast = best * sum(limit <= self.split_ms for limit in limits_ms)
        runs = self.runs(fast, best * len(limits_ms) - fast)
        rank = math.ceil(round((len(runs) + 1) * confidence / 100, 9))
        if rank > len(runs):
            raise InputError(self._too_few(len(limits_ms), best, fast, confidence, len(runs), measure))
        return Margin(sorted(runs)[rank - 1], confidence, rank, len(runs), len(limits_ms), best)

    def runs(self, fast: int, slow: int) -> list[float]:
        """The worst ratio of every run of so many networks of either half; no network is in two."""
        count = min(len(of) // each for of, each in ((self.fast, fast), (self.slow, slow)) if each)
        return [max(self.fast[i * fast : (i + 1) * fast] + self.slow[i * slow : (i + 1) * slow]) for i in range(count)]

    def _too_few(self, limits: int, best: int, fast: int, confidence: float, runs: int, measure: str) -> str:
        needed, networks = needed_runs(confidence), limits * best
        each = max(fast, networks - fast)
        there = f"{runs} network{'s' * (runs != 1)}"
        if networks > 1:
            there = f"{runs} run{'s' * (runs != 1)} of {networks} networks"
        ways = [f"measure more ({measure} --winners {needed * each} --overwrite)"]
        if runs:
            most = math.floor(1000 * runs / (runs + 1)) / 10
            ways.append(f"ask for at most {most:g} %")
        if limits > 1:
            ways.append("search for one limit at a time")
        if best > 1:
            ways.append("for fewer networks a limit (--best)")
        return f"a confidence of {confidence:g} % needs {needed} and the table has {there}: {', or '.join(ways)}"


def rounded_up(ratio: float) -> float:
    """To four decimals, as a header has it."""
    return math.ceil(round(ratio * 1e4, 6)) / 1e4


def needed_runs(confidence: float) -> int:
    """The fewest ratios, or runs, that a confidence in per cent can rest on: 19 for 95 %."""
    return math.ceil(round(confidence / (100 - confidence), 9))


@dataclass(frozen=True)
class SustainedFactor:
    """factor: latency after minutes over that of short visits, at least 1; error: its standard error

    network: that ran, as `ofa.tables.control_networks` writes one, with its latency in short visits
    rests_on: how and when it ran, in words
    sums: of the table then (`LatencyTable.sums`), the only one that it holds for
    """

    factor: float
    error: float
    network: str
    rests_on: str
    sums: str

    @classmethod
    def parse(cls, header: Mapping[str, str], name: str) -> SustainedFactor | None:
        """Of a table's header; None where it has none. InputError, beginning with `name`, where it is damaged."""
        there = [key for key in SUSTAINED_KEYS if key in header]
        if not there:
            return None
        if lacking := [key for key in SUSTAINED_KEYS if not header.get(key)]:
            raise InputError(f"{name}: header has {there[0]}, but no {lacking[0]}: put that line back, or take all out")
        return cls(
            FACTOR.decimal(f"{name}: header {_FACTOR}", header[_FACTOR]),
            _ERROR_OF_FACTOR.decimal(f"{name}: header {_ERROR}", header[_ERROR]),
            *(header[key] for key in SUSTAINED_KEYS[2:]),
        )

    def to_header(self) -> dict[str, str]:
        """The lines of a table's header."""
        values = (f"{self.factor:.4f}", f"{self.error:.4f}", self.network, self.rests_on, self.sums)
        return dict(zip(SUSTAINED_KEYS, values, strict=True))

    def less(self, limits_ms: Sequence[float]) -> list[float]:
        """The limits to search within, so that these are kept on a hot device: whole nanoseconds, as sums are."""
        return [math.floor(limit / self.factor * 1e6) / 1e6 for limit in limits_ms]

    def __str__(self) -> str:
        return f"{self.factor:.4g} (standard error {self.error:.2g}; {self.rests_on})"
