"""How large the steps are: all together take no longer than they may, and each command takes what it is given."""

import importlib
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.blocks.costs import count_macs
from ofa.predictors.collect.measuring import draw
from ofa.predictors.fit import measured
from ofa.predictors.subnet_accuracies import PARTS, counts, split
from ofa.quickstart import speed
from ofa.quickstart.forecast import forecast
from ofa.quickstart.photos import PhotoCounts
from ofa.quickstart.plan import SIZES, STEPS, TRAIN, USUAL, QuickstartPlan, Size, choose, estimates, with_subnets
from ofa.quickstart.speed import Speed
from ofa.quickstart.steps import Places, steps_of
from ofa.space import get_space

from .conftest import USUAL_SPEED


def photos_of(trained: int, held_out: int, *, own_val: bool = False) -> PhotoCounts:
    return PhotoCounts(trained, held_out, own_val, 4, 0.004)


# (photographs, times as slow, minutes)
CASES = [
    (n, slow, minutes) for n in (64, 180, 1500, 9000, 120_000) for slow in (0.3, 1, 3) for minutes in (15, 60, 600)
]


@pytest.mark.parametrize("from_scratch", [False, True])
@pytest.mark.parametrize(("trained", "slow", "minutes"), CASES)
def test_all_steps_together_take_no_longer_than_they_may(
    trained: int, slow: float, minutes: float, from_scratch: bool
) -> None:
    photos, machine = photos_of(trained, min(1000, max(16, trained // 3))), USUAL_SPEED.slower(slow)
    plan = choose(photos, machine, minutes, from_scratch=from_scratch)
    assert sum(estimates(plan, photos, machine).values()) <= 60 * minutes
    assert plan.epochs >= 3
    assert plan.trained(photos) >= 64
    assert plan.size.least_subnets <= plan.subnets <= 500
    assert plan.learnt != from_scratch
    more = choose(photos, machine, 4 * minutes, from_scratch=from_scratch)
    seen = [p.epochs * p.trained(photos) * p.size.macs for p in (plan, more)]
    assert seen[0] <= seen[1]


def test_what_does_not_fit_is_as_small_as_it_can_be() -> None:
    photos = photos_of(50_000, 1000)
    plan = choose(photos, USUAL_SPEED.slower(20), 5, from_scratch=False)
    assert (plan.size, plan.subnets) == (SIZES[1], SIZES[1].least_subnets)
    assert plan.epochs == 3
    assert plan.limit is not None
    assert plan.limit < 1000  # to decode them takes too long
    few = choose(photos_of(180, 60), USUAL_SPEED.slower(20), 5, from_scratch=False)
    assert (few.limit, few.epochs) == (None, 3)  # none of a few is left out


def test_before_it_takes_too_long_all_sizes_are_the_smallest() -> None:
    warned = 0
    for trained in (180, 450, 1500, 9000):
        for slow in (1, 2, 3, 5, 8, 12, 20):
            for minutes in (5, 15):
                photos, machine = photos_of(trained, min(1000, trained // 3)), USUAL_SPEED.slower(slow)
                plan = choose(photos, machine, minutes, from_scratch=False)
                total = sum(estimates(plan, photos, machine).values())
                lines = forecast(plan, photos, machine, minutes)
                assert bool(lines) == (total > 60 * minutes)
                if lines:
                    warned += 1
                    assert (plan.epochs, plan.subnets, plan.trained(photos)) == (3, 150, min(300, trained))
                    assert (plan.images, plan.calibration) == (min(100, photos.held_out), min(96, trained))
    assert 10 < warned < 40


def test_some_of_the_images_to_calibrate_with_may_be_broken() -> None:
    """At least 64 must be left, or the commands refuse them: a run ended there with one broken photograph."""
    for slow in (1, 5, 20):
        plan = choose(photos_of(1500, 500), USUAL_SPEED.slower(slow), 5, from_scratch=False)
        assert plan.calibration >= 64 * 1.5


def test_the_warning_names_what_takes_long() -> None:
    def warning(machine: Speed, trained: int = 1500) -> str:
        photos = PhotoCounts(trained, 500, False, 4, machine.decode_s)
        return "\n".join(forecast(choose(photos, machine, 5, from_scratch=False), photos, machine, 5))

    assert warning(USUAL_SPEED) == ""
    slow = warning(USUAL_SPEED.slower(5))
    assert "about 10 min on this machine, more than --minutes 5, although" in slow
    assert "shorter if nothing else runs on this machine (it is 5.0 times as slow as the one" in slow
    assert "copies" not in slow
    large = warning(Speed(USUAL_SPEED.train_s, USUAL_SPEED.forward_s, 0.3, USUAL_SPEED.start_s))
    assert "shorter with smaller copies of the photographs (reading one takes 300 ms), or with fewer" in large
    assert "nothing else runs" not in large


def test_a_slow_training_leaves_time_for_fewer_networks() -> None:
    photos = photos_of(1500, 300)
    plan = choose(photos, USUAL_SPEED, 15, from_scratch=False)
    found = [with_subnets(plan, photos, USUAL_SPEED, left, {TRAIN}).subnets for left in (100, 400, 700, 5000)]
    assert found == sorted(found)
    assert found[0] == USUAL.least_subnets
    assert found[-1] == 500
    assert found[1] < found[2]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.space}-{max(size.resolutions)}")
def test_the_fewest_networks_are_enough_to_fit(size: Size) -> None:
    """Which networks are drawn, and which of them test, hangs on nothing but their number."""
    space = get_space(size.space, 4)
    drawn = draw(space, size.resolutions, 0, range(size.least_subnets), 0.5)
    genes = np.unique(space.as_genes(drawn), axis=0)
    found = counts(genes[:, 0], split(genes), size.resolutions)
    assert min(rows for part in PARTS for rows in found[part].values()) >= measured._LEAST_ROWS


def test_macs_are_those_of_the_spaces() -> None:
    def macs(size: Size) -> float:
        space = get_space(size.space, 10)
        genes = space.sample(np.random.default_rng(0), 300, resolutions=list(size.resolutions))
        return float(count_macs(space, genes).mean())

    for size in SIZES:
        assert macs(size) / macs(USUAL) == pytest.approx(size.macs, rel=0.15)


def test_a_machine_has_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "BATCH", 4)
    monkeypatch.setattr(speed, "_seconds_to_start", lambda: 2.0)
    before = torch.get_num_threads()
    found = speed.measure_speed((32,), 0.1)
    assert torch.get_num_threads() == before
    assert found.threads in (1, None)
    assert min(found.forward_s, found.train_s) > 0
    assert found.decode_s == 0.1
    assert found.slower(2).train_s == 2 * found.train_s
    assert found.slower(2).threads == found.threads


@pytest.mark.parametrize(("of_one", "of_all", "threads"), [(1.0, 0.6, None), (1.0, 8.0, 1)])
def test_the_faster_number_of_threads_is_chosen(
    monkeypatch: pytest.MonkeyPatch, of_one: float, of_all: float, threads: int | None
) -> None:
    set_to = [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(speed, "_seconds_to_start", lambda: 2.0)
    monkeypatch.setattr(speed, "_seconds_of_steps", lambda _: ((of_one if set_to[-1] == 1 else of_all), 0.1))
    found = speed.measure_speed((32,), 0.1)
    assert (found.threads, found.train_s) == (threads, min(of_one, of_all))
    assert set_to == [2, 1, 2, threads or 2, 2]  # tried with one and two, measured, and as it was before


def test_what_takes_long_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=1.5)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    calls: list[int] = []
    assert speed._median_seconds(calls.append) == 1.5
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("own_val", [False, True])
@pytest.mark.parametrize("from_scratch", [False, True])
def test_each_command_takes_its_words(tmp_path: Path, photos: Path, own_val: bool, from_scratch: bool) -> None:
    counted = photos_of(9000, 600, own_val=own_val)
    plan = choose(counted, USUAL_SPEED, 15, from_scratch=from_scratch)
    steps = steps_of(photos, Places(tmp_path / "a b"), counted)
    assert [step.name for step in steps] == [name for name in STEPS if name in {step.name for step in steps}]
    made = {TRAIN: plan}
    for step in steps:
        found = importlib.util.find_spec(step.module)
        assert found is not None
        package = found.submodule_search_locations is not None
        command = importlib.import_module(f"{step.module}.__main__" if package else step.module).COMMAND
        words = [*step.words(made.get(step.name, plan)), *(["--resume"] if step.resumes else [])]
        config = command.parse(words)
        assert hasattr(config, "resume") == step.resumes, step.name


def test_plans_are_values(tmp_path: Path) -> None:
    plan = QuickstartPlan(USUAL, True, 5, 32, None, 240, 60, 128)
    assert plan.trained(photos_of(100, 20)) == 100
    assert Places(tmp_path).found() == tmp_path / "search" / "result.json"
