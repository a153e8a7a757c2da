"""How well sums predict whole networks: the scores, by hand."""

import numpy as np
import pytest

from profilers.whole_networks.sums.scores import repeat, score


def test_scores_by_hand() -> None:
    measured = np.array([10.0, 20.0, 40.0, 100.0])
    scores = score(np.array([10.9, 20.4, 36.4, 120.0]), measured)
    # errors are +9, +2, -9 and +20 %
    assert (scores.mape_pct, scores.bias_pct, scores.worst_pct) == (10.0, 5.5, 20.0)
    assert (scores.within_5_pct, scores.within_10_pct) == (25.0, 75.0)
    assert (scores.kendall_tau, scores.networks) == (1.0, 4)


def test_what_a_repeat_tells_by_hand() -> None:
    # odd rounds against even: 11 to 10, 20 to 20, 30 to 40; the last network was visited once
    found = repeat([[11.0, 10.0, 11.0], [20.0, 20.0], [30.0, 40.0], [5.0]])
    assert found.mape_pct == pytest.approx(100 * (0.1 + 0 + 0.25) / 3, abs=0.01)
    assert found.kendall_tau == 1.0


def test_a_constant_factor_is_bias_and_no_spread() -> None:
    measured = np.array([1.0, 2.0, 5.0])
    scores = score(1.07 * measured, measured)
    assert (scores.bias_pct, scores.mape_pct, scores.spread_pct) == (7.0, 7.0, 0.0)
