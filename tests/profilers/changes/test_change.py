"""Which blocks changed: how often that is said falsely, how often it is seen, and what is drift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, mannwhitneyu

from ofa.errors import InputError
from profilers.changes.change import _inverse_trigamma, find_changes, find_changes_from_runs

BLOCKS, PAIRS = 461, 40
RUNS = 40


def base(rng: np.random.Generator, blocks: int = BLOCKS) -> tuple[np.ndarray, np.ndarray]:
    """Latencies, ms, and each block's own scatter between visits: 0.3 to 3 %, as on the development machine."""
    return np.exp(rng.normal(-1, 1, blocks)), np.exp(rng.normal(np.log(0.008), 0.6, blocks))


def measured(
    rng: np.random.Generator, latency_ms: np.ndarray, scatter: np.ndarray, visits: int = 5, noise: str = "normal"
) -> np.ndarray:
    """(blocks, visits) of one run: a common drift, a share of a per cent between runs, and the visits' scatter."""
    size = (len(latency_ms), visits)
    by_visit = rng.standard_normal(size) if noise == "normal" else rng.standard_t(3, size)
    if noise == "bad visits":  # one in thirty is 10 to 50 % too slow
        by_visit = by_visit + (rng.random(size) < 1 / 30) * rng.uniform(0.1, 0.5, size) / scatter[:, None]
    by_run = 0.005 * rng.standard_normal(len(latency_ms)) + rng.normal(0, 0.15)
    return latency_ms[:, None] * np.exp(scatter[:, None] * by_visit + by_run[:, None])


@pytest.mark.parametrize("noise", ["normal", "heavy tails", "bad visits"])
@pytest.mark.parametrize("visits", [5, 3])
def test_an_unchanged_machine_gives_no_alarm(noise: str, visits: int) -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(PAIRS):
        truth = base(rng)
        alarms += find_changes(measured(rng, *truth, visits, noise), measured(rng, *truth, visits, noise)).changed.any()
    assert alarms == 0


@pytest.mark.parametrize(("noise", "least"), [("normal", 0.9), ("heavy tails", 0.8), ("bad visits", 0.55)])
def test_one_block_that_is_20_percent_slower_is_found(noise: str, least: float) -> None:
    """10 % beyond the 5 that do not matter and 5 more: what 15 % were to a test against no change at all."""
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(PAIRS):
        latency, scatter = base(rng)
        slower = latency.copy()
        slower[7] *= 1.2
        changes = find_changes(measured(rng, latency, scatter, 5, noise), measured(rng, slower, scatter, 5, noise))
        found += changes.changed[7]
        assert changes.changed.sum() - changes.changed[7] <= 1
    assert found >= least * PAIRS


def test_drift_is_found_and_taken_out_though_a_quarter_of_the_blocks_changed() -> None:
    rng = np.random.default_rng(2)
    latency, scatter = base(rng)
    old = measured(rng, latency, scatter)
    factor = np.where(np.arange(BLOCKS) < BLOCKS // 4, 1.2, 1.0)
    changes = find_changes(old, 1.3 * old * factor[:, None] * np.exp(rng.normal(0, 0.01, old.shape)))
    assert changes.drift == pytest.approx(1.3, rel=0.01)
    assert changes.drift_error < 0.005
    assert changes.effect[: BLOCKS // 4] == pytest.approx(0.2, abs=0.06)
    assert changes.changed.tolist() == (factor > 1).tolist()


def test_a_significant_change_below_the_threshold_is_none() -> None:
    rng = np.random.default_rng(3)
    latency = np.ones(100)
    slower = np.where(np.arange(100) == 5, 1.04, 1.0)
    scatter = np.full(100, 0.001)
    old = latency[:, None] * np.exp(scatter[:, None] * rng.standard_normal((100, 5)))
    new = slower[:, None] * np.exp(scatter[:, None] * rng.standard_normal((100, 5)))
    assert not find_changes(old, new).changed.any()
    finer = find_changes(old, new, effect=0.02)
    assert np.flatnonzero(finer.changed).tolist() == [5]
    assert finer.p_adjusted[5] < 1e-6


@pytest.mark.parametrize("runs", [1, 3])
def test_blocks_that_changed_by_just_what_does_not_matter_raise_no_alarm(runs: int) -> None:
    """Against 0 they would be as significant as can be: all of 40 nights on which 30 blocks take 5 % longer."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(PAIRS):
        latency, scatter = base(rng)
        slower = latency * np.where(np.arange(BLOCKS) < 30, 1.05, 1.0)
        old = [measured(rng, latency, scatter) for _ in range(runs)]
        new = measured(rng, slower, scatter)
        alarms += (find_changes(old[0], new) if runs == 1 else find_changes_from_runs(old, new)).changed.any()
    assert alarms <= 1


def test_three_runs_of_other_days_find_what_one_cannot_and_name_no_other() -> None:
    """Blocks shift by 1 % between runs, some by far more, which one old run cannot tell from a change."""
    rng = np.random.default_rng(12)
    found = {1: 0, 3: 0}
    alarms = {1: 0, 3: 0}
    for _ in range(PAIRS):
        latency, scatter = base(rng)
        restless = np.where(rng.random(BLOCKS) < 0.02, 0.05, 0.01)

        def run(factor: float = 1.0, at: tuple[np.ndarray, ...] = (latency, scatter, restless)) -> np.ndarray:
            shifted = at[0] * np.exp(at[2] * rng.standard_normal(BLOCKS))
            shifted[np.argmin(at[2])] *= factor
            return measured(rng, shifted, at[1])

        old, new = [run() for _ in range(3)], run(1.15)
        for runs, changes in ((1, find_changes(old[0], new)), (3, find_changes_from_runs(old, new))):
            found[runs] += changes.changed[np.argmin(restless)]
            alarms[runs] += changes.changed.sum() > changes.changed[np.argmin(restless)]
    assert found[3] >= 0.85 * PAIRS > found[1]
    assert alarms[3] <= alarms[1]


def test_a_run_may_lack_blocks_and_the_order_of_runs_does_not_matter() -> None:
    rng = np.random.default_rng(13)
    latency, scatter = base(rng)
    runs = [measured(rng, latency, scatter).tolist() for _ in range(4)]
    runs[2][:50] = [[]] * 50
    slower = latency * np.where(np.isin(np.arange(BLOCKS), (7, 200)), 1.3, 1.0)
    new = measured(rng, slower, scatter)
    changes = find_changes_from_runs(runs, new)
    assert np.flatnonzero(changes.changed).tolist() == [7, 200]
    assert find_changes_from_runs(runs[::-1], new).p == pytest.approx(changes.p, rel=1e-6)


@pytest.mark.parametrize("runs", [1, 3])
def test_all_blocks_together_are_told_beyond_5_percent_and_5_errors(runs: int) -> None:
    rng = np.random.default_rng(14)
    latency, scatter = base(rng)
    old = [measured(rng, latency, scatter) for _ in range(runs)]
    now = measured(rng, latency, scatter)

    def at(factor: float, new: np.ndarray) -> bool:
        level = find_changes(old[0], new) if runs == 1 else find_changes_from_runs(old, new)
        new = new * factor / level.drift
        changes = find_changes(old[0], new) if runs == 1 else find_changes_from_runs(old, new)
        assert changes.drift == pytest.approx(factor)
        return changes.all_changed

    assert [at(factor, now) for factor in (0.7, 0.94, 0.96, 1.0, 1.04, 1.06, 1.3)] == [
        True, True, False, False, False, True, True
    ]  # fmt: skip
    # a machine on which nothing is sure: 1.3 is within five errors
    wild = now * np.exp(2 * rng.standard_normal(BLOCKS))[:, None]
    assert not at(1.3, wild)


def test_pooled_runs_alarm_falsely_and_ranks_of_visits_see_nothing() -> None:
    """Why a visit is one sample, and why the blocks lend each other their scatter."""
    rng = np.random.default_rng(4)
    latency, scatter = base(rng, 200)
    slower = latency.copy()
    slower[7] *= 1.15
    old, new = measured(rng, latency, scatter), measured(rng, slower, scatter)
    new *= np.median(old) / np.median(new)
    runs = [[v * np.exp(0.003 * rng.standard_normal((5, RUNS))) for v in table[:, :, None]] for table in (old, new)]
    pooled = [mannwhitneyu(a.ravel(), b.ravel()).pvalue for a, b in zip(*runs, strict=True)]
    assert (false_discovery_control(pooled) < 0.01).mean() > 0.5, "half of the unchanged blocks"
    by_visit = [mannwhitneyu(a, b).pvalue for a, b in zip(old, new, strict=True)]
    assert (false_discovery_control(by_visit) < 0.01).sum() == 0, "not even the changed one"
    assert np.flatnonzero(find_changes(old, new).changed).tolist() == [7]


def test_tables_of_single_figures_are_compared_by_the_spread_over_blocks() -> None:
    rng = np.random.default_rng(5)
    latency, scatter = base(rng, 200)
    old, new = (np.median(measured(rng, latency, 0.5 * scatter), axis=1, keepdims=True) for _ in range(2))
    assert not find_changes(old, new).changed.any()
    new[7] *= 1.5
    assert np.flatnonzero(find_changes(old, new).changed).tolist() == [7]


def test_one_table_may_have_visits_and_the_other_single_figures() -> None:
    rng = np.random.default_rng(6)
    latency, scatter = base(rng)
    slower = latency.copy()
    slower[7] *= 1.3
    old = np.median(measured(rng, latency, scatter), axis=1, keepdims=True)
    assert np.flatnonzero(find_changes(old, measured(rng, slower, scatter)).changed).tolist() == [7]


def test_a_block_whose_visits_disagree_is_not_said_to_have_changed() -> None:
    rng = np.random.default_rng(7)
    old = np.exp(0.005 * rng.standard_normal((50, 5)))
    new = np.exp(0.005 * rng.standard_normal((50, 5)))
    new[3] = [1.0, 1.9, 1.3, 0.99, 1.5]
    new[4] *= 1.3
    assert np.flatnonzero(find_changes(old, new).changed).tolist() == [4]


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.integers(1, 6), st.integers(1, 6))
def test_the_other_way_round_effects_turn_and_p_stays(seed: int, factor: float, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    latency, scatter = base(rng, 30)
    old, new = measured(rng, latency, scatter, n), measured(rng, latency, scatter, m)
    there, back = find_changes(old, factor * new), find_changes(new, old)
    assert there.drift * back.drift == pytest.approx(factor)
    assert (1 + there.effect) * (1 + back.effect) == pytest.approx(1)
    assert there.p == pytest.approx(back.p, rel=1e-6)
    shuffled = find_changes(rng.permuted(old, axis=1), rng.permuted(new, axis=1))
    assert shuffled.p == pytest.approx(back.p, rel=1e-6)


def test_identical_tables_differ_in_nothing() -> None:
    table = [[1.0 + i, 1.01 + i, 1.02 + i] for i in range(20)]
    changes = find_changes(table, table)
    assert (changes.drift, changes.effect.tolist(), changes.changed.any()) == (1.0, [0.0] * 20, False)


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="9 blocks are in both tables, expected at least 10"):
        find_changes([[1.0]] * 9, [[1.0]] * 9)


@pytest.mark.parametrize("x", [0.01, 0.5, 1.0, 30.0, 1e4])
def test_inverse_trigamma(x: float) -> None:
    from scipy.special import polygamma

    assert _inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)
