"""From samples to latencies, by hand."""

import numpy as np
import pytest

from profilers.measuring.statistics import (
    _medians_around,
    by_cpu_time,
    disturbed_throughout,
    drifted,
    interrupted,
    kept_with,
    median_mad,
    slowness,
    standard_error_of_few,
    standard_error_of_median,
    summarise,
    variance_of_median,
    visit_median_ns,
)


def result(samples: list[int], cpu: list[int] | None = None, calls: int = 1) -> dict:
    return {"samples_ns": samples, "cpu_ns": cpu, "calls_per_sample": calls}


def test_median_and_deviation() -> None:
    # deviations from 4 are 3, 2, 0, 1, 96
    assert median_mad([1, 2, 4, 5, 100]) == (4, 2)


def test_samples_without_the_cpu_are_rejected() -> None:
    assert interrupted([1000, 1000, 1000, 1000], [1000, 979, 981, 500]).tolist() == [False, True, False, True]
    assert visit_median_ns(result([1000, 8000, 3000, 9000], [1000, 7000, 3000, 4500])) == 2000


def test_a_machine_that_was_busy_all_along_keeps_its_samples() -> None:
    assert visit_median_ns(result([1000, 1000, 1000], [1000, 500, 600])) == 600


def test_a_visit_most_of_whose_samples_were_interrupted_is_told() -> None:
    assert disturbed_throughout(result([1000] * 3, [1000, 500, 500]))
    assert not disturbed_throughout(result([1000] * 3, [1000, 1000, 500]))
    assert not disturbed_throughout(result([1000] * 3, [1000, 1000, 1000]))
    assert not disturbed_throughout(result([1000] * 3))


def test_standard_error_of_the_median() -> None:
    # deviations from 3 are 2, 1, 1, 2
    assert standard_error_of_median([1, 2, 4, 5]) == pytest.approx(1.2533 * 1.4826 * 1.5 / 2)
    assert standard_error_of_median([7, 7, 7, 1000]) == 0


def test_the_error_of_a_latency_comes_from_its_visits() -> None:
    # the visits' medians 990, 1000, 1010 and 1020 have median 1005 and MAD 10
    summary = summarise([result([median] * 5) for median in (990, 1000, 1010, 1020)])
    # four visits tell too small an error, by 1.294 in the median
    assert summary.error_pct == round(100 * 1.294 * 1.2533 * 1.4826 * 10 / 2 / 1005, 3)
    assert summarise([result([1000] * 5)]).error_pct is None


@pytest.mark.parametrize("count", range(2, 11))
def test_errors_of_a_few_visits_are_right_in_the_median(count: int) -> None:
    draws = np.random.default_rng(count).standard_normal((20_000, count))
    told = np.median([standard_error_of_few(row) for row in draws[:4000]])
    assert told == pytest.approx(np.median(draws, axis=1).std(), rel=0.06)
    assert variance_of_median(count) == pytest.approx(np.median(draws, axis=1).var(), rel=0.03)


def test_what_is_kept_is_one_of_the_values_and_needs_19_for_95_percent() -> None:
    assert kept_with(range(1, 19), 95) is None
    assert kept_with(range(19, 0, -1), 95) == 19
    assert kept_with(range(1, 40), 95) == 38
    # of 4,000 draws of 39 and one more, the promise is kept as often as it says
    draws = np.random.default_rng(0).standard_exponential((4000, 40))
    kept = [row[39] <= kept_with(row[:39], 95) for row in draws]
    assert np.mean(kept) == pytest.approx(0.95, abs=0.012)


def test_a_visit_disturbed_throughout_is_told_by_cpu_time() -> None:
    busy = result([12_600, 12_400, 16_000], [8400, 8500, 8600])
    assert by_cpu_time(busy)
    assert visit_median_ns(busy) == 8500
    quiet = result([8400, 8500, 16_000], [8400, 8500, 8600])
    assert not by_cpu_time(quiet)
    assert visit_median_ns(quiet) == 8450
    assert not by_cpu_time(result([1, 1]))
    # a clock that does not tell so short a time tells nothing
    assert not by_cpu_time(result([900, 900, 900], [0, 0, 800]))


def test_slowness_is_told_from_what_blocks_take_without_it() -> None:
    # 60 blocks in 5 rounds; the machine is 20 % slow in three stretches, more than half of some blocks' visits
    rng = np.random.default_rng(0)
    models = [f"b{i}" for _ in range(5) for i in rng.permutation(60)]
    true = np.ones(300)
    for start in (20, 110, 190):
        true[start : start + 50] = 1.2
    takes = {model: rng.uniform(0.1, 1) for model in set(models)}
    medians = [takes[model] * slow * rng.normal(1, 0.003) for model, slow in zip(models, true, strict=True)]
    found = slowness(models, medians)
    corrected = {
        model: np.median([m / f for k, m, f in zip(models, medians, found, strict=True) if k == model])
        for model in takes
    }
    off = np.array([corrected[model] / takes[model] for model in takes])
    assert np.mean(np.abs(off / np.median(off) - 1) > 0.03) < 0.04


def test_without_cpu_times_all_samples_count() -> None:
    assert visit_median_ns(result([1000, 9000], None)) == 5000


def test_the_latency_is_the_median_of_the_visits_medians() -> None:
    # visits of 1, 2 and 9 us: one bad visit of many samples does not move the middle one
    summary = summarise([result([1000] * 3), result([2000] * 3), result([9000] * 50)])
    assert summary.latency_ms == 0.002
    assert (summary.runs, summary.rejected) == (56, 0)
    assert summary.p90_ms == 0.009


def test_several_calls_share_a_sample() -> None:
    assert visit_median_ns(result([50_000, 60_000, 70_000], calls=10)) == 6000
    assert summarise([result([50_000, 60_000, 70_000], calls=10)]).latency_ms == 0.006


def test_rejected_samples_touch_neither_median_nor_spread() -> None:
    disturbed = result([1000, 1010, 990, 5000], [1000, 1010, 990, 1000])
    clean = result([1000, 1010, 990], [1000, 1010, 990])
    assert summarise([disturbed]).rejected == 1
    for field in ("latency_ms", "mad_ms", "p90_ms", "runs"):
        assert getattr(summarise([disturbed]), field) == getattr(summarise([clean]), field)


def test_drift_is_distance_from_the_median_of_all() -> None:
    assert drifted([100, 104, 96, 106, 94], 0.05).tolist() == [False, False, False, True, True]
    assert drifted(np.array([7.0]), 0.05).tolist() == [False]


@pytest.mark.parametrize("share", [0.97, 0.99])
def test_the_border_of_a_disturbed_sample_is_98_per_cent(share: float) -> None:
    assert interrupted([1000] * 3, [1000, 1000, int(1000 * share)])[2] == (share < 0.98)


def test_a_slow_spell_of_the_machine_is_told_from_visits_of_all_models() -> None:
    rng = np.random.default_rng(0)
    models = [f"m{i}" for _ in range(5) for i in rng.permutation(60)]
    usual = {model: rng.uniform(100, 9000) for model in set(models)}
    spell = np.where((np.arange(300) >= 100) & (np.arange(300) < 160), 1.08, 1.0)
    medians = [usual[m] * s * rng.normal(1, 0.005) for m, s in zip(models, spell, strict=True)]
    found = slowness(models, medians)
    inside, outside = np.r_[115:145], np.r_[0:85, 175:300]
    assert found[inside] == pytest.approx(1.08, abs=0.01)
    assert found[outside] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("count", [0, 1, 24, 25, 300])
@pytest.mark.parametrize("neighbours", [1, 12])
def test_medians_of_windows_are_those_of_one_window_after_the_other(count: int, neighbours: int) -> None:
    rng = np.random.default_rng(count)
    values = np.where(rng.random(count) < 0.4, np.nan, rng.normal(size=count))
    windows = [values[max(0, i - neighbours) : i + neighbours + 1] for i in range(count)]
    known = [window[~np.isnan(window)] for window in windows]
    expected = [np.median(each) if len(each) >= neighbours else np.nan for each in known]
    np.testing.assert_array_equal(_medians_around(values, neighbours), expected)


def test_models_that_were_visited_as_often_are_told_from_each_other() -> None:
    """One visit to eight, in any order: slowness as its definition has it, model by model, bit for bit."""
    rng = np.random.default_rng(0)
    models = [str(model) for model in rng.permutation([f"m{i}" for i in range(96) for _ in range(1 + i % 8)])]
    medians = rng.lognormal(8, 1, len(models))
    of_model = {model: [i for i, other in enumerate(models) if other == model] for model in models}
    expected = np.full(len(models), np.nan)
    for _ in range(3):
        usual, relative = medians / np.nan_to_num(expected, nan=1.0), np.full(len(models), np.nan)
        for rows in (rows for rows in of_model.values() if len(rows) > 1):
            relative[rows] = medians[rows] / np.median(usual[rows])
        expected = _medians_around(relative, 12)
    np.testing.assert_array_equal(slowness(models, medians), expected)


def test_models_visited_once_tell_nothing_of_the_machine() -> None:
    assert np.isnan(slowness([f"m{i}" for i in range(40)], list(range(1, 41)))).all()
    # eleven visits of one model: fewer than asked for
    assert np.isnan(slowness(["a"] * 11, [1.0] * 5 + [2.0] * 6)).all()
    assert not np.isnan(slowness(["a"] * 12, [1.0] * 6 + [2.0] * 6)).any()


def test_a_latency_is_told_as_if_the_machine_had_been_as_usual() -> None:
    slow = {**result([1100, 1100, 1100]), "slowness": 1.1}
    assert visit_median_ns(slow) == pytest.approx(1000)
    assert summarise([result([1000] * 3), slow, result([1000] * 3)]).p90_ms == pytest.approx(0.001)


def test_heat_disturbs_a_visit_and_a_power_limit_does_not() -> None:
    visit = {"samples_ns": [10, 10], "cpu_ns": None, "calls_per_sample": 1}
    assert disturbed_throughout({**visit, "throttling": ["power cap", "hardware thermal"]})
    assert not disturbed_throughout({**visit, "throttling": ["power cap"]})
    assert not disturbed_throughout({**visit, "throttling": None})


def test_energy_is_the_median_of_the_visits_that_tell() -> None:
    visit = {"samples_ns": [10, 10], "cpu_ns": None, "calls_per_sample": 1}
    visits = [{**visit, "energy_mj": 2.0}, {**visit, "energy_mj": None}, visit, {**visit, "energy_mj": 3.0}]
    assert summarise(visits).energy_mj == 2.5
    assert summarise([visit]).energy_mj is None


def several(process_cpu: list[int]) -> dict:
    """A visit of two threads, each sample of 1,000 ns."""
    return {**result([1000] * len(process_cpu)), "process_cpu_ns": process_cpu}


def test_samples_in_which_several_threads_lost_a_core_are_rejected() -> None:
    visit = {**several([2000, 1990, 1400, 2000, 1980]), "samples_ns": [1000, 1000, 1400, 1000, 1000]}
    assert summarise([visit]).rejected == 1
    assert not disturbed_throughout(visit)
    # one thread waits for the other all along: that is how this block runs
    assert summarise([several([1200, 1210, 1190, 1200])]).rejected == 0
    assert disturbed_throughout(several([2000, 1000, 1000, 1000, 1000]))
    assert not by_cpu_time(several([2000, 1000, 1000, 1000, 1000])), "the time of both is no latency"


@pytest.mark.parametrize("reason", ["ran on another core", "clock limit lowered"])
def test_a_visit_elsewhere_or_under_a_lower_limit_is_doubtful(reason: str) -> None:
    assert disturbed_throughout({**result([1000, 1000], [1000, 1000]), "throttling": [reason]})
