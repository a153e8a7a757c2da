"""Stages and what they draw."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.errors import InputError
from ofa.space import Subnet, get_space
from ofa.training.draws import Draws
from ofa.training.recipe import Stage, as_json, macs_per_image, one_stage, read_stages, scaled, short, shrinking

SPACE, PIXELS = get_space("mbv3-w0.1", 3), (32, 64)
PAPER = {stage.name: stage for stage in shrinking(SPACE)}


def draws(stage: Stage, seed: int = 1, number: int = 5, fixed: Subnet | None = None) -> Draws:
    return Draws(SPACE, stage, PIXELS, seed, number, fixed)


# ---- stages


def test_the_papers_recipe() -> None:
    # the original adds the teacher's loss to the labels', where here they are averaged: half the rate, twice the loss
    rates = {name: s.learning_rate / (1 + s.distill) for name, s in PAPER.items()}
    rows = [(s.name, s.epochs, s.warmup_epochs, s.subnets, round(rates[s.name], 6)) for s in PAPER.values()]
    assert rows == [
        ("largest", 180, 5, 1, 0.08125),  # 2.6 for 32 GPUs
        ("kernel", 125, 5, 1, 0.03),
        ("depth2", 25, 0, 2, 0.0025),
        ("depth3", 125, 5, 2, 0.0075),
        ("expand2", 25, 0, 4, 0.0025),
        ("expand3", 125, 5, 4, 0.0075),
    ]
    assert [s.distill for s in PAPER.values()] == [0, 1, 1, 1, 1, 1]


def test_the_short_recipe_is_uniform_sampling_with_the_arithmetic_of_the_papers() -> None:
    (stage,) = short(SPACE, PIXELS, 0.06)
    assert stage == one_stage("uniform", SPACE, PIXELS, None, 0.06, 1, 0.0)
    assert (stage.subnets, stage.learning_rate, stage.final_rate, stage.distill) == (1, 0.08125, 0, 0)
    assert stage.choices(SPACE) == PAPER["expand3"].choices(SPACE)
    paper = sum(s.epochs * macs_per_image(SPACE, PIXELS, s) for s in shrinking(SPACE, 0.06))
    assert stage.epochs * macs_per_image(SPACE, PIXELS, stage) == pytest.approx(paper, rel=0.01)
    assert short(SPACE, PIXELS, 1.0, distill=0.5)[0].distill == 0.5


@pytest.mark.parametrize(
    ("name", "kernels", "depths", "expands"),
    [
        ("largest", {7}, {4}, {6}),
        ("kernel", {3, 5, 7}, {4}, {6}),
        ("depth2", {3, 5, 7}, {3, 4}, {6}),
        ("depth3", {3, 5, 7}, {2, 3, 4}, {6}),
        ("expand2", {3, 5, 7}, {2, 3, 4}, {4, 6}),
        ("expand3", {3, 5, 7}, {2, 3, 4}, {3, 4, 6}),
    ],
)
def test_a_stage_draws_all_of_its_choices_and_no_others(
    name: str, kernels: set[int], depths: set[int], expands: set[int]
) -> None:
    drawn = SPACE.decode(PAPER[name].draw(SPACE, np.random.default_rng(0), 300, PIXELS))
    assert {k for s in drawn for k in s.kernel_sizes} - {0} == kernels
    assert {d for s in drawn for d in s.depths} == depths
    assert {e for s in drawn for e in s.expand_ratios} - {0} == expands
    assert {s.resolution for s in drawn} == {32, 64}
    # the smallest of the stage is what its accuracy is checked with, beside the largest
    ends = draws(PAPER[name]).ends()
    assert list(ends) == (["largest"] if name == "largest" else ["largest", "smallest"])
    for subnet, end in zip(ends.values(), (max, min)[: len(ends)], strict=True):
        assert subnet.resolution == 64
        assert set(subnet.kernel_sizes) - {0} == {end(kernels)}
        assert set(subnet.depths) == {end(depths)}
        assert set(subnet.expand_ratios) - {0} == {end(expands)}


def test_every_choice_is_as_likely_as_the_others() -> None:
    drawn = SPACE.decode(PAPER["expand3"].draw(SPACE, np.random.default_rng(0), 3000, PIXELS))
    of_first_layer: tuple[Callable[[Subnet], float], ...] = (
        lambda s: s.depths[0],
        lambda s: s.kernel_sizes[0],
        lambda s: s.expand_ratios[0],
    )
    for value in of_first_layer:
        counts = Counter(value(subnet) for subnet in drawn)
        assert len(counts) == 3
        assert all(abs(count - 1000) < 100 for count in counts.values()), counts  # four standard deviations


def test_the_widths_that_a_stage_supports() -> None:
    supported = [stage.supported(SPACE) for stage in PAPER.values()]
    assert [ratios for ratios, _ in supported] == [(6,), (6,), (6,), (6,), (4, 6), (3, 4, 6)]
    assert {widths for _, widths in supported} == {SPACE.width_choices}


def test_a_space_without_kernel_choices_and_with_widths_has_stages_that_fit() -> None:
    space = get_space("resnet50d")
    stages = {stage.name: stage for stage in shrinking(space)}
    assert list(stages) == ["largest", "depth2", "depth3", "expand2", "expand3", "width2", "width3"]
    found = {
        name: {
            w
            for s in space.decode(stages[name].draw(space, np.random.default_rng(0), 100, PIXELS))
            for w in s.width_mults
        }
        for name in ("expand3", "width2", "width3")
    }
    assert found == {"expand3": {1.0}, "width2": {0.8, 1.0}, "width3": {0.65, 0.8, 1.0}}


def test_one_knob_scales_all_stages() -> None:
    assert [s.epochs for s in shrinking(SPACE, 0.1)] == [18, 12, 2, 12, 2, 12]
    assert [s.warmup_epochs for s in shrinking(SPACE, 0.1)] == [0.5, 0.5, 0, 0.5, 0, 0.5]
    assert scaled(Stage("a", 8, 0.1, warmup_epochs=6), 0.125) == Stage("a", 1, 0.1, warmup_epochs=0.5)  # half at most
    assert {s.epochs for s in shrinking(SPACE, 1e-6)} == {1}
    for factor in (float("nan"), float("inf"), 0.0, -1.0):
        with pytest.raises(InputError, match="epochs scale is"):
            shrinking(SPACE, factor)


def test_uniform_gets_the_arithmetic_of_shrinking() -> None:
    stage = one_stage("uniform", SPACE, PIXELS, None, 0.1, 4, 0.0)
    budget = sum(s.epochs * macs_per_image(SPACE, PIXELS, s) for s in shrinking(SPACE, 0.1))
    assert stage.epochs * macs_per_image(SPACE, PIXELS, stage) == pytest.approx(budget, rel=0.05)
    assert stage.learning_rate == pytest.approx(0.08125 / 4)  # four gradients add up
    alone = one_stage("alone", SPACE, PIXELS, 36, 1.0, 4, 0.0)
    assert (alone.epochs, alone.subnets, alone.warmup_epochs) == (36, 1, 1)
    assert alone.learning_rate == pytest.approx(0.08125)


def test_a_steps_arithmetic_counts_sub_networks_and_teacher() -> None:
    """A forward pass of the teacher is a third of a sub-network's forward and backward."""
    largest = Stage("a", 1, 0.1, kernels=1, depths=1, expands=1)
    once = macs_per_image(SPACE, PIXELS, largest)
    assert macs_per_image(SPACE, PIXELS, replace(largest, subnets=2)) == pytest.approx(2 * once)
    assert macs_per_image(SPACE, PIXELS, replace(largest, distill=1.0)) == pytest.approx(4 / 3 * once, rel=0.05)
    assert macs_per_image(SPACE, PIXELS, Stage("a", 1, 0.1)) < 0.7 * once


# ---- what a step draws


def test_draws_depend_on_seed_stage_and_step_alone() -> None:
    """So that every process of a job draws the same, and a run that continues what it would have drawn."""
    stage = PAPER["expand3"]
    one = draws(stage)
    backwards = [draws(stage).subnets(n) for n in reversed(range(8))]
    assert [one.subnets(n) for n in range(8)] == backwards[::-1]
    for other in (draws(stage, seed=2), draws(stage, number=4)):
        assert all(other.subnets(n) != one.subnets(n) for n in range(8))
    assert len({subnet for n in range(8) for subnet in one.subnets(n)}) == 32
    assert {one.resolution(n) for n in range(50)} == {32, 64}
    for n in range(8):
        assert {subnet.resolution for subnet in one.subnets(n)} == {one.resolution(n)}


def test_the_sandwich_has_the_largest_first_and_the_smallest_second() -> None:
    sandwich = draws(one_stage("sandwich", SPACE, PIXELS, 1, 1.0, 4, 1.0))
    first, second, *others = sandwich.subnets(5)
    assert (set(first.depths), set(first.kernel_sizes), set(first.expand_ratios)) == ({4}, {7}, {6})
    assert (set(second.depths), set(second.kernel_sizes) - {0}, set(second.expand_ratios) - {0}) == ({2}, {3}, {3})
    assert len({first, second, *others}) == 4
    assert {s.resolution for s in (first, second, *others)} == {sandwich.resolution(5)}


def test_one_alone_is_drawn_at_every_resolution() -> None:
    fixed = SPACE.decode(PAPER["expand3"].draw(SPACE, np.random.default_rng(0), 1, PIXELS))[0]
    alone = draws(one_stage("alone", SPACE, PIXELS, 1, 1.0, 1, 0.0), fixed=fixed)
    found = [alone.subnets(n) for n in range(20)]
    assert found == [[replace(fixed, resolution=alone.resolution(n))] for n in range(20)]
    assert {subnet.resolution for (subnet,) in found} == {32, 64}
    assert alone.ends() == {"alone": replace(fixed, resolution=64)}


# ---- files

ROW: dict[str, Any] = {"name": "a", "epochs": 2, "learning_rate": 0.1}


def test_a_recipe_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    stages = (*shrinking(SPACE, 0.1), one_stage("sandwich", SPACE, PIXELS, 3, 1.0, 4, 1.0))
    path.write_text(json.dumps(as_json(stages)))
    assert read_stages(path) == stages
    path.write_text(json.dumps([ROW]))
    assert read_stages(path) == (Stage("a", 2, 0.1),)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], "expected a JSON list of stages"),
        ({"stages": [ROW]}, "expected a JSON list of stages"),
        ([ROW, 3], "expected a JSON list of stages"),
        ([{"name": "a", "epochs": 1}], r"\[0\]: missing fields: learning_rate"),
        ([ROW, {**ROW, "lr": 1}], r"\[1\]: unknown fields: lr"),
        ([ROW, ROW], "two stages have the same name"),
        ([{**ROW, "name": 3}], r"\[0\]: name is 3, expected text"),
        ([{**ROW, "name": "../a"}], r"\[0\]: stage name is '../a', expected letters"),
        ([{**ROW, "name": ""}], r"\[0\]: stage name is ''"),
        ([{**ROW, "epochs": 1.5}], r"\[0\]: stage a: epochs is 1.5, expected a whole number"),
        ([{**ROW, "epochs": True}], "epochs is true, expected a whole number"),
        ([{**ROW, "kernels": -1}], "kernels is -1, expected a whole number of .* from 0 to 1000"),
        ([{**ROW, "subnets": 0}], "epochs, subnets and learning_rate must be more than 0"),
        ([{**ROW, "learning_rate": 0}], "epochs, subnets and learning_rate must be more than 0"),
        ([{**ROW, "learning_rate": float("nan")}], "NaN is not a number that JSON has"),
        ([{**ROW, "learning_rate": "0.1"}], "learning_rate is '0.1', expected a number"),
        ([{**ROW, "distill": None}], "distill is missing, expected a number"),
        ([{**ROW, "warmup_epochs": 2}], "warmup_epochs is 2, expected less than 2"),
        ([{**ROW, "final_rate": 1}], "final_rate is 1, more than learning_rate"),
        ([{**ROW, "teacher": "last"}], "teacher is 'last', expected one of first, previous"),
        ([{**ROW, "sandwich": "no", "subnets": 4}], "sandwich is 'no', expected true or false"),
        ([{**ROW, "sandwich": True}], "subnets is 1, but the sandwich rule needs at least 3"),
    ],
)
def test_faults_of_a_recipe_file_are_named(tmp_path: Path, rows: Any, match: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=rf"recipe\.json: .*{match}"):
        read_stages(path)


def test_what_is_not_json_is_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("- name: a\n")
    with pytest.raises(InputError, match=r"recipe\.yaml: not JSON: "):
        read_stages(path)
