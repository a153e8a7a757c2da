"""When the GPU agent stops: to warm up, to take samples, to read its energy counter."""

import pytest

from device_agents.cuda.timing import power_mw, take_samples, warm_up

# ---- when to stop


class Clock:
    """A clock that only the fakes move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def batches(clock: Clock, spread: int, seconds: float = 0.001):
    def batch() -> list[int]:
        clock.now += seconds
        return [1000 + spread * i for i in range(10)]

    return batch


def ran_until(medians: list[int], clocks: list[float | None], **rules: float) -> int:
    """How many batches the warm-up takes."""
    clock, told, made = Clock(), iter(clocks), 0

    def batch() -> list[int]:
        nonlocal made
        made += 1
        clock.now += 0.001
        return [medians[min(made, len(medians)) - 1]] * 10

    settling = {"warmup_runs": 0, "warmup_seconds": 0, "warmup_max_seconds": 0.5, "settle": 0.01, **rules}
    warm_up(batch, lambda: next(told, clocks[-1]), settling, clock)
    return made


def test_the_warm_up_ends_when_median_and_clock_of_two_batches_agree() -> None:
    assert ran_until([1000], [1980.0]) == 2
    assert ran_until([1200, 1100, 1000, 1001], [1980.0]) == 4
    assert ran_until([1000], [345.0, 1200.0, 1980.0, 1980.0]) == 4
    assert ran_until([1000], [None]) == 2
    assert ran_until([1000], [1980.0], warmup_runs=50) == 5
    assert ran_until([1000], [1980.0], warmup_seconds=0.0065) == 7


def test_a_clock_that_never_settles_does_not_hold_up_the_rest() -> None:
    assert ran_until([1000], [float(mhz) for mhz in range(100, 2000, 2)], warmup_max_seconds=0.01) == 10


def test_samples_are_taken_until_the_median_is_known_or_the_time_is_up() -> None:
    rules = {"min_runs": 20, "max_runs": 50, "max_seconds": 1, "target_error": 0.001}
    clock = Clock()
    steady = take_samples(batches(clock, spread=0), rules, clock)
    assert len(steady) == 20
    unsteady = take_samples(batches(clock, spread=100), rules, clock)
    assert len(unsteady) == 50
    late = take_samples(batches(clock, spread=100, seconds=0.4), rules, clock)
    assert len(late) == 30


# ---- energy


def counter(clock: Clock, watts: float, step_s: float, before_w: float):
    """A counter that moves every `step_s`, each time by the power of the step before: it lags."""

    def read() -> float:
        clock.now += 0.0001  # a reading takes its time
        steps = int(clock.now / step_s)
        return float(int(1000 * step_s * (min(steps, 2) * before_w + max(0, steps - 2) * watts)))

    return read


@pytest.mark.parametrize("step_s", [0.001, 0.02, 0.1])
def test_power_is_read_between_steps_of_the_counter(step_s: float) -> None:
    clock = Clock()
    busy = 0

    def keep_busy() -> None:
        nonlocal busy
        busy += 1
        clock.now += 0.0004

    found = power_mw(counter(clock, 250.0, step_s, before_w=60.0), keep_busy, 0.3, clock)
    assert found is not None
    power, error, seconds = found
    # 250 W are 250 mJ a millisecond; the steps that reach back to the other load are left out
    assert power == pytest.approx(250_000, rel=0.004)
    assert abs(power - 250_000) <= error < 0.005 * power
    assert 0.3 <= seconds < 0.3 + 2 * step_s
    assert busy > 100


def test_a_counter_that_stands_still_or_fails_gives_no_energy() -> None:
    clock = Clock()
    assert power_mw(lambda: 7.0, lambda: setattr(clock, "now", clock.now + 0.1), 0.3, clock) is None
    assert power_mw(lambda: None, lambda: None, 0.3) is None
