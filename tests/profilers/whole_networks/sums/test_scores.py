"""How well sums predict whole networks: the scores, by hand."""

import numpy as np
import pytest

from profilers.whole_networks.sums.scores import fifths, noise_pct, repeat, score


def test_scores_by_hand() -> None:
    measured = np.array([10.0, 20.0, 40.0, 100.0])
    scores = score(np.array([10.9, 20.4, 36.4, 120.0]), measured)
    # errors are +9, +2, -9 and +20 %
    assert (scores.mape_pct, scores.bias_pct, scores.worst_pct) == (10.0, 5.5, 20.0)
    assert (scores.within_5_pct, scores.within_10_pct) == (25.0, 75.0)
    assert (scores.kendall_tau, scores.networks, scores.p95_pct) == (1.0, 4, None)


def test_95_percent_is_one_of_the_errors_from_19_networks_on() -> None:
    measured = np.ones(19)
    predicted = 1 + np.arange(1, 20) / 100
    assert score(predicted, measured).p95_pct == 19.0
    assert score(predicted[:18], measured[:18]).p95_pct is None
    assert score(1 + np.arange(1, 40) / 100, np.ones(39)).p95_pct == 38.0


def test_fifths_tell_bias_and_spread_by_size() -> None:
    rng = np.random.default_rng(0)
    measured = rng.permutation(np.geomspace(1, 32, 500))
    # noisy and too low where fast, the other way where slow
    slow = np.log2(measured) / 5
    found = fifths(measured * (1 + 0.04 * slow - 0.02 + (0.03 - 0.02 * slow) * rng.standard_normal(500)), measured)
    assert [of.networks for of in found] == [100] * 5
    assert (found[0].from_ms, found[-1].to_ms) == (1.0, 32.0)
    assert [of.bias_pct for of in found] == pytest.approx([-1.6, -0.8, 0, 0.8, 1.6], abs=0.6)
    assert [of.spread_pct for of in found] == pytest.approx([2.8, 2.4, 2.0, 1.6, 1.2], rel=0.25)
    assert fifths(measured[:24], measured[:24]) == ()


@pytest.mark.parametrize("visits", [2, 3, 5, 8])
def test_the_share_of_noise_is_what_was_planted(visits: int) -> None:
    """Sums are off by 2 %, a visit by 3: of 2,000 networks."""
    rng = np.random.default_rng(visits)
    true = np.exp(rng.normal(1, 0.5, 2000))
    taken = true[:, None] * np.exp(rng.normal(0, 0.03, (2000, visits)))
    noise = np.var(np.log(np.median(taken, axis=1) / true))
    predicted = 1.1 * true * np.exp(rng.normal(0, 0.02, 2000))
    assert noise_pct(predicted, taken.tolist()) == pytest.approx(100 * noise / (noise + 0.02**2), abs=4)


def test_noise_of_too_little_is_not_told_and_never_more_than_all() -> None:
    assert noise_pct(np.ones(3), [[1.0], [1.1], [1.2]]) is None
    assert noise_pct(np.ones(2), [[1.0, 1.0], [1.0, 1.0]]) is None
    assert noise_pct(np.ones(3), [[0.5, 2.0], [2.0, 0.5], [1.0, 1.1]]) == 100.0


def test_what_a_repeat_tells_by_hand() -> None:
    # odd rounds against even: 11 to 10, 20 to 20, 30 to 40; the last network was visited once
    found = repeat([[11.0, 10.0, 11.0], [20.0, 20.0], [30.0, 40.0], [5.0]])
    assert found.mape_pct == pytest.approx(100 * (0.1 + 0 + 0.25) / 3, abs=0.01)
    assert found.kendall_tau == 1.0


def test_a_constant_factor_is_bias_and_no_spread() -> None:
    measured = np.array([1.0, 2.0, 5.0])
    scores = score(1.07 * measured, measured)
    assert (scores.bias_pct, scores.mape_pct, scores.spread_pct) == (7.0, 7.0, 0.0)
