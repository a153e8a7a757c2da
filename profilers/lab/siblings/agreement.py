"""Whether devices of one model agree: pure functions over the medians of single visits.

No difference found is not agreement: a noisy table differs from nothing. So a device agrees with the others only if it
is shown to, with the chance of an error below `alpha` (two one-sided tests: Schuirmann 1987, J. Pharmacokinet.
Biopharm. 15(6):657):

- its level, the factor common to all blocks, and the sum of all blocks are both within the least effect that matters;
- of its blocks, that factor taken out, a share of MOST_BLOCKS is shown to be within WIDE times that effect;
- and no block is found to differ, by `profilers.changes.change`.

It differs if its level, its sum or a block is shown to be beyond the least effect, with a chance below `alpha` that any
of the devices is called so wrongly. What is neither is not told.

The reference is the median, block by block, of the other devices that do not differ. It stands as long as they are the
majority: of two devices that differ, neither is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from profilers.changes.change import BlockVisits, Changes, judge_ratios, moderated
from profilers.changes.levels import ALPHA, EFFECT
from profilers.measuring.statistics import variance_of_median

Floats = NDArray[np.float64]
State = Literal["agrees", "differs", "not told"]
# a block must be shown to lie within so many times the least effect: one block is never measured as well as a sum
WIDE = 4.0
# so many of the blocks, as a share
MOST_BLOCKS = 0.9
# so many devices tell how far a block lies apart from device to device
FEWEST_DEVICES = 6
_POLISHES, _ROUNDS = 3, 5


@dataclass(frozen=True, eq=False)
class SiblingVerdict:
    """One device against a reference.

    blocks: (M,) places of the blocks that both have; changes: of those, the device being the new one
    level, total: natural logs of the factor common to all blocks and of that of their sum, with their standard errors
    within: share of the blocks that are shown to be within WIDE times the least effect
    """

    state: State
    blocks: NDArray[np.intp]
    changes: Changes
    level: float
    level_error: float
    total: float
    total_error: float
    within: float


@dataclass(frozen=True, eq=False)
class Levels:
    """Logs of the blocks' medians, of devices or of one: (..., N), NaN where there is none; variances, and freedom."""

    logs: Floats
    variance: Floats
    freedom: Floats

    def of(self, device: int) -> Levels:
        return Levels(self.logs[device], self.variance[device], self.freedom[device])


def levels_of(visits_ms: Floats) -> Levels:
    """Of (D, N, K) visits, each (D, N)."""
    shape = visits_ms.shape[:2]
    found = Levels(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape))
    for device, visits in enumerate(visits_ms):
        ordered = np.sort(np.log(visits), axis=1)  # NaN comes last
        own = BlockVisits(ordered, (~np.isnan(ordered)).sum(axis=1))
        found.logs[device] = own.medians()
        found.variance[device], found.freedom[device] = moderated(own)
    return found


def compare_pair(
    levels: Levels, first: int, second: int, effect: float = EFFECT, alpha: float = ALPHA
) -> SiblingVerdict:
    """The second device against the first."""
    return _judged(levels.of(second), levels.of(first), effect, alpha, 1)


def compare_all(levels: Levels, effect: float = EFFECT, alpha: float = ALPHA) -> tuple[SiblingVerdict, ...]:
    """Each of D devices, two and more, against the others that do not differ."""
    devices = len(levels.logs)
    core = np.ones(devices, dtype=bool)
    verdicts = _against(levels, _Reference.of_all(levels), range(devices), effect, alpha)
    seen: set[bytes] = set()
    for _ in range(_ROUNDS):
        found = np.array([verdict.state != "differs" for verdict in verdicts])
        # where fewer than two are left, those that did not differ from the middle differ from each other
        core = found if found.sum() > 1 else core
        if core.tobytes() in seen:
            break
        seen.add(core.tobytes())
        verdicts = _against(levels, _Reference.of_others(levels, core), range(devices), effect, alpha)
    return verdicts


def agreeing(verdicts: Sequence[SiblingVerdict]) -> tuple[int, ...]:
    """The devices that agree with each other; () where those that differ are no minority, or fewer than two agree."""
    found = tuple(number for number, verdict in enumerate(verdicts) if verdict.state == "agrees")
    differ = sum(verdict.state == "differs" for verdict in verdicts)
    return found if len(found) > 1 and 2 * differ < len(verdicts) else ()


@dataclass(frozen=True, eq=False)
class _Reference:
    """What each of D devices is compared with, (D, N) each; restless: (N,) variance of a block among devices."""

    logs: Floats
    variance: Floats
    restless: Floats

    @classmethod
    def of_all(cls, levels: Levels) -> _Reference:
        """The middle of all devices, each of them included: what one of three is, the other two cannot move."""
        everyone = np.ones(len(levels.logs), dtype=bool)
        middle, common, restless = _middle(levels.logs, everyone)
        logs = np.broadcast_to(middle + float(np.median(common)), levels.logs.shape)
        return cls(logs, np.broadcast_to(_of_medians(levels, restless, everyone), levels.logs.shape), restless)

    @classmethod
    def of_others(cls, levels: Levels, core: NDArray[np.bool_]) -> _Reference:
        """The middle of the devices of the core, but for the device itself."""
        _, common, restless = _middle(levels.logs, core)
        blocks = _median_of_others(levels.logs - common[:, None], core)
        level = _median_of_others(common[:, None], core)
        variance = np.broadcast_to(_of_medians(levels, restless, core), levels.logs.shape)
        return cls(blocks + level, variance, restless)


def _middle(logs: Floats, core: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """(N,) median over the core, its levels taken out; (D,) the levels; (N,) variance of a block among the core.

    By turns, since a block that some devices lack is no reason for a level (median polish: Tukey 1977). The variance,
    by the median absolute deviation, is 0 where fewer than FEWEST_DEVICES tell.
    """
    kept = logs[core]
    common = np.zeros(len(logs))
    middle = _median(kept)
    for _ in range(_POLISHES):
        common = _median((logs - middle).T)
        middle = _median(kept - common[core, None])
    off = np.abs(kept - common[core, None] - middle)
    enough = (~np.isnan(kept)).sum(axis=0) >= FEWEST_DEVICES
    return middle, common, np.where(enough, (1.4826 * _median(off)) ** 2, 0.0)


def _median(values: Floats) -> Floats:
    """(N,) median over the first axis of (D, N); NaN where nothing is."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    count = (~np.isnan(values)).sum(axis=0)
    column = np.arange(values.shape[1])
    found: Floats = (ordered[np.maximum(count - 1, 0) // 2, column] + ordered[count // 2, column]) / 2
    return found


def _median_of_others(values: Floats, core: NDArray[np.bool_]) -> Floats:
    """(D, N) for each device the median of the core without it; NaN where no other tells."""
    kept = np.where(core[:, None], values, np.nan)
    order = np.argsort(kept, axis=0, kind="stable")  # NaN comes last
    ordered = np.take_along_axis(kept, order, axis=0)
    count = (~np.isnan(kept)).sum(axis=0)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(len(values))[:, None], axis=0)
    own = rank < count
    left = count - own
    found = np.zeros(values.shape)
    for place in (np.maximum(left - 1, 0) // 2, left // 2):
        place = np.minimum(place + (own & (place >= rank)), len(values) - 1)
        found += np.take_along_axis(ordered, place, axis=0) / 2
    return np.where(left > 0, found, np.nan)


def _of_medians(levels: Levels, restless: Floats, core: NDArray[np.bool_]) -> Floats:
    """(N,) variance of the median of the others."""
    there = ~np.isnan(levels.logs[core])
    count = there.sum(axis=0)
    typical = np.where(there, levels.variance[core], 0.0).sum(axis=0) / np.maximum(count, 1)
    shares = np.array([variance_of_median(max(n - 1, 1)) for n in range(int(count.max()) + 1)])
    found: Floats = np.maximum(typical, restless) * shares[count]
    return found


def _against(
    levels: Levels, reference: _Reference, devices: Sequence[int], effect: float, alpha: float
) -> tuple[SiblingVerdict, ...]:
    found = []
    for device in devices:
        own = levels.of(device)
        own = Levels(own.logs, np.maximum(own.variance, reference.restless), own.freedom)
        other = Levels(reference.logs[device], reference.variance[device], own.freedom)
        found.append(_judged(own, other, effect, alpha, len(devices)))
    return tuple(found)


def _judged(own: Levels, other: Levels, effect: float, alpha: float, devices: int) -> SiblingVerdict:
    """devices: how many are compared, of which none should be called different by chance."""
    from scipy.stats import norm, t

    ratio = own.logs - other.logs
    blocks = np.flatnonzero(~np.isnan(ratio))
    ratio, variance = ratio[blocks], (own.variance + other.variance)[blocks]
    freedom = np.minimum(own.freedom, other.freedom)[blocks]
    changes = judge_ratios(ratio, variance, freedom, effect, alpha / devices)
    level, level_error = math.log(changes.drift), changes.drift_error / changes.drift
    variance = variance + changes.between_runs**2
    shares = np.exp(other.logs[blocks])
    shares /= shares.sum()
    total, total_error = math.log(float(shares @ np.exp(ratio))), math.sqrt(float(shares**2 @ variance))
    wide, off, error = WIDE * math.log1p(effect), ratio - level, np.sqrt(variance)
    within = float((t.sf((wide - np.abs(off)) / error, freedom) < alpha).mean())

    least = math.log1p(effect)
    sums = ((level, level_error), (total, total_error))
    sure_of_any, sure = norm.isf(alpha / devices), norm.isf(alpha)
    state: State = "not told"
    if changes.changed.any() or any(abs(value) - sure_of_any * spread > least for value, spread in sums):
        state = "differs"
    elif within >= MOST_BLOCKS and all(abs(value) + sure * spread < least for value, spread in sums):
        state = "agrees"
    return SiblingVerdict(state, blocks, changes, level, level_error, total, total_error, within)
