"""Which devices agree: how often that is said falsely, what sets one apart, and that noise is no agreement."""

from __future__ import annotations

import numpy as np
import pytest

from profilers.changes.change import find_changes
from profilers.lab.siblings.agreement import (
    _median,
    _median_of_others,
    agreeing,
    compare_all,
    compare_pair,
    levels_of,
)

BLOCKS = 230


def visits(
    rng: np.random.Generator, factors: np.ndarray, *, scatter: float = 0.01, count: int = 5, heavy: bool = False
) -> np.ndarray:
    """(D, N, K) of D devices. factors: (D,) of all blocks, or (D, N)"""
    base = np.exp(rng.normal(-1, 1, BLOCKS))
    factors = np.broadcast_to(factors.reshape(len(factors), -1), (len(factors), BLOCKS))
    size = (len(factors), BLOCKS, count)
    noise = rng.standard_t(3, size) if heavy else rng.standard_normal(size)
    own = base * factors * np.exp(0.004 * rng.standard_normal(factors.shape))
    return own[:, :, None] * np.exp(scatter * noise)


def states(found: np.ndarray) -> list[str]:
    return [verdict.state for verdict in compare_all(levels_of(found))]


@pytest.mark.parametrize("devices", [2, 3, 7, 30])
@pytest.mark.parametrize("heavy", [False, True])
def test_devices_that_are_alike_agree(devices: int, heavy: bool) -> None:
    rng = np.random.default_rng(devices)
    levels = np.exp(rng.uniform(-0.015, 0.015, devices))
    verdicts = compare_all(levels_of(visits(rng, levels, heavy=heavy)))
    assert agreeing(verdicts) == tuple(range(devices))


@pytest.mark.parametrize("devices", [3, 4, 9, 30])
def test_one_that_is_6_and_a_half_percent_slower_is_apart_and_its_level_told(devices: int) -> None:
    factors = np.ones(devices)
    factors[1] = 1.065
    verdicts = compare_all(levels_of(visits(np.random.default_rng(1), factors)))
    assert [verdict.state for verdict in verdicts] == ["differs" if n == 1 else "agrees" for n in range(devices)]
    assert np.exp(verdicts[1].level) == pytest.approx(1.065, abs=0.002)
    assert not verdicts[1].changes.changed.any()


def test_the_blocks_that_set_one_apart_are_those_that_were_slowed() -> None:
    rng = np.random.default_rng(2)
    slowed = np.arange(BLOCKS) % 5 == 0
    factors = np.ones((6, BLOCKS))
    factors[4, slowed] = 1.2
    verdicts = compare_all(levels_of(visits(rng, factors)))
    assert agreeing(verdicts) == (0, 1, 2, 3, 5)
    named = np.zeros(BLOCKS, dtype=bool)
    named[verdicts[4].blocks[verdicts[4].changes.changed]] = True
    assert named.tolist() == slowed.tolist()
    assert verdicts[4].changes.effect[slowed].mean() == pytest.approx(0.2, abs=0.01)


def test_slower_blocks_that_few_notice_count_by_their_sum() -> None:
    """The longest tenth of the blocks takes half of the time: 12 % there are 6 % of the sum, and 0 of the level."""
    rng = np.random.default_rng(3)
    found = visits(rng, np.ones(5), scatter=0.06)
    longest = found[0].mean(axis=1) > np.quantile(found[0].mean(axis=1), 0.8)
    found[2, longest] *= 1.13
    verdict = compare_all(levels_of(found))[2]
    assert np.exp(verdict.total) > 1.06 > 1.02 > np.exp(verdict.level)
    assert verdict.state == "differs"


def test_a_noisy_device_is_neither_called_alike_nor_apart() -> None:
    rng = np.random.default_rng(4)
    found = visits(rng, np.ones(5))
    found[3] = np.median(found[0], axis=1)[:, None] * np.exp(0.2 * rng.standard_normal(found[3].shape))
    verdicts = compare_all(levels_of(found))
    assert [verdict.state for verdict in verdicts] == ["agrees"] * 3 + ["not told", "agrees"]
    assert verdicts[3].within < 0.5
    # and noise on all of them is no agreement of any
    assert agreeing(compare_all(levels_of(visits(rng, np.ones(5), scatter=0.2)))) == ()


@pytest.mark.parametrize(
    "factors", [(1, 1.1), (1, 1.1, 1.2), (1, 1, 1.1, 1.1), (1, 1.1, 1.2, 1.3, 1.4), (1, 1.06)]
)  # fmt: skip
def test_without_a_majority_nobody_is_right(factors: tuple[float, ...]) -> None:
    verdicts = compare_all(levels_of(visits(np.random.default_rng(5), np.array(factors))))
    assert agreeing(verdicts) == ()


def test_a_few_wild_devices_do_not_move_the_others() -> None:
    """A third of 12 is far off: each alone by its own factor, one of them by a thousand."""
    factors = np.array([1.0] * 8 + [1000.0, 0.5, 3.0, 1.3])
    found = states(visits(np.random.default_rng(6), factors))
    assert found == ["agrees"] * 8 + ["differs"] * 4


def test_the_order_of_devices_and_blocks_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    found = visits(rng, np.array([1, 1.01, 1.2, 0.99, 1.0, 1.04]))
    found[1, 5:9] = np.nan
    devices, blocks = rng.permutation(6), rng.permutation(BLOCKS)
    plain = compare_all(levels_of(found))
    shuffled = compare_all(levels_of(found[devices][:, blocks]))
    for place, device in enumerate(devices):
        assert shuffled[place].state == plain[device].state
        assert shuffled[place].level == pytest.approx(plain[device].level, abs=1e-12)
        assert shuffled[place].total == pytest.approx(plain[device].total, abs=1e-12)


def test_a_pair_is_compared_as_two_tables_are() -> None:
    """The same statistics as `python -m profilers.compare`, but for a factor of few devices, which two do not have."""
    found = visits(np.random.default_rng(8), np.array([1, 1.02]))
    levels = levels_of(found)
    verdict, changes = compare_pair(levels, 0, 1), find_changes(found[0].tolist(), found[1].tolist())
    assert np.exp(verdict.level) == pytest.approx(changes.drift, rel=1e-12)
    assert verdict.changes.effect == pytest.approx(changes.effect, abs=1e-12)
    assert verdict.changes.noise == pytest.approx(changes.noise, rel=0.1)


def test_medians_of_others_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(9)
    values = rng.standard_normal((13, 70))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0] = np.nan
    values[:12, 1] = np.nan
    core = rng.random(13) < 0.7
    found = _median_of_others(values, core)
    for device in range(13):
        others = [n for n in range(13) if core[n] and n != device]
        for block in range(70):
            there = values[others, block][~np.isnan(values[others, block])]
            wanted = float(np.median(there)) if len(there) else np.nan
            assert found[device, block] == pytest.approx(wanted, nan_ok=True)
        there = values[~np.isnan(values[:, device + 2]), device + 2]
        assert _median(values)[device + 2] == pytest.approx(np.median(there))
    assert np.isnan(_median(values)[0])


def test_of_25_shelves_of_alike_devices_no_device_is_set_aside() -> None:
    rng = np.random.default_rng(10)
    apart = [states(visits(rng, np.exp(rng.uniform(-0.02, 0.02, 4)), heavy=True)) for _ in range(25)]
    assert sum(state == "differs" for shelf in apart for state in shelf) == 0
