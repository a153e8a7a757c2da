"""Which network keeps a limit: by hand, and without flattery, over thousands of noisy measurements."""

from dataclasses import replace

import numpy as np
import pytest

from ofa.search.specialised import Specialised
from ofa.space import get_space
from profilers.verifying.choice import NEAR, STEP, Contender, choose, further, ladder, measured_to_predicted
from profilers.whole_networks.measured import MeasuredNetwork

SPACE = get_space("mbv3-w0.35")
PLAIN = Specialised(
    table="t", limit_ms=1.0, limit_mj=None, latency_ms=1.0, energy_mj=None, predicted_top1=70.0, predicted_top1_std=0.1,
    macs_millions=1.0, params_millions=1.0, latency_interpolated=False, top1_interpolated=False,
    subnet=SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=(64,)))[0], predictor_top1=70.0,
)  # fmt: skip


def contender(predicted_ms: float, top1: float, *visits_ms: float) -> Contender:
    return Contender(replace(PLAIN, latency_ms=predicted_ms, predictor_top1=top1), MeasuredNetwork(visits_ms), 1)


def test_odd_visits_choose_and_even_ones_certify_by_hand() -> None:
    lucky, unlucky = contender(9.0, 72.0, 9.9, 10.1, 9.9, 10.1), contender(9.0, 71.0, 10.1, 9.9, 10.1, 9.9)
    sound, small = contender(8.0, 70.0, 9.0, 9.1, 9.0, 9.1), contender(7.0, 69.0, 8.0, 8.0)
    once = contender(7.5, 70.5, 8.0)
    found = choose([small, sound, unlucky, lucky, once], 10.0)
    # the two that were chosen and not certified: one broke the limit, one has no even visit
    assert (found.winner, found.passed_over) == (sound, 2)
    assert choose([lucky, unlucky], 10.0).winner is None
    # of equally accurate networks that of the smaller sum
    assert choose([replace(sound, network=replace(sound.network, latency_ms=8.1)), sound], 10.0).winner is sound


def test_where_the_search_goes_on_by_hand() -> None:
    def took(predicted_ms: float, top1: float, ratio: float) -> Contender:
        return contender(predicted_ms, top1, *[ratio * predicted_ms] * 4)

    nearer = further([took(10.0, 72.0, 1.25), took(9.8, 71.0, 1.25)], 10.0)
    assert nearer is not None
    assert (nearer.within_ms, nearer.growth < 1) == (pytest.approx(8.0), True)
    farther = further([took(10.0, 72.0, 0.8), took(9.8, 71.0, 0.8)], 10.0)
    assert farther is not None
    assert (farther.within_ms, farther.growth > 1) == (pytest.approx(12.5), True)
    # one keeps it and one does not: far from each other there may be better ones between, near there is no need
    between = further([took(6.0, 70.0, 1.25), took(10.0, 72.0, 1.25)], 10.0)
    assert between is not None
    assert between.within_ms == pytest.approx(8.0)
    assert further([took(8.0, 70.0, 1.25), took(8.0 * (1 + NEAR), 72.0, 1.25)], 10.0) is None
    # what is doubtful says nothing of where to search, where there is anything else
    lost = replace(took(9.0, 71.5, 2.0), doubtful=True)
    assert further([took(8.0, 70.0, 1.25), took(8.2, 72.0, 1.25), lost], 10.0) is None
    assert further([lost], 10.0) is not None
    # a step at least: what was just above is not asked for again
    just = further([took(10.0, 72.0, 1.0001), took(9.99, 71.0, 1.002)], 9.9)
    assert just is not None
    assert just.within_ms == pytest.approx(min(9.9 / 1.00105, 9.99 * (1 - STEP)))


def test_the_ratio_is_that_of_networks_that_take_about_as_long() -> None:
    small = [contender(1.0, 60.0, 2.0)] * 4
    large = [contender(10.0, 70.0, ms) for ms in (10.5, 11.0, 11.5, 12.0)]
    assert measured_to_predicted([*small, *large], 11.0) == pytest.approx(1.125)
    assert measured_to_predicted([*small, *large], 2.1) == pytest.approx(2.0)


def test_a_ladder_is_a_step_apart_about_its_centre() -> None:
    assert ladder(10.0, 5) == pytest.approx([10.0, 9.8, 10.2, 9.6, 10.4])


def test_the_certified_latency_flatters_half_as_much_as_that_which_chose() -> None:
    """Networks on both sides of a limit, noise of 1 % a visit. What remains: what seems to break it is passed over."""
    rng, limit = np.random.default_rng(0), 10.0
    true = limit * (1 + STEP * np.linspace(-2, 2, 12))
    odd, even, broken = [], [], 0
    for _ in range(1500):
        visits = true[:, None] * (1 + 0.01 * rng.standard_normal((len(true), 6)))
        networks = [contender(10.0, float(i), *row) for i, row in enumerate(visits)]
        chosen = next(n for n in reversed(networks) if n.chosen_within(limit))
        odd.append(chosen.times.odd_ms / true[networks.index(chosen)] - 1)
        winner = choose(networks, limit).winner
        assert winner is not None
        assert winner.times.even_ms is not None
        even.append(winner.times.even_ms / true[networks.index(winner)] - 1)
        broken += true[networks.index(winner)] > limit
    # 0.48 % and 0.25 %; a median of three visits has an sd of 0.67 %
    assert np.mean(odd) < 1.6 * np.mean(even) < 0
    assert np.mean(even) > -0.0035
    # of the certified ones 9 % take longer than the limit, by less than a visit's noise
    assert broken < 0.13 * 1500
