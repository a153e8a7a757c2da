"""The separable predictor: what it says is the bend of a sum over units, whatever way it is added up."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.fit.optimism import made_up_optima, measure_optimism, near_frontiers, sample_size, source_sd
from ofa.predictors.fit.scale import fit_scale
from ofa.predictors.prediction import Uncertainty
from ofa.predictors.separable import unit_networks
from ofa.predictors.separable.bend import Bend
from ofa.predictors.separable.fitted import train_separable
from ofa.predictors.separable.predictor import PER_CENT, SeparablePredictor
from ofa.predictors.separable.unit_networks import UnitNetworks, unit_features
from ofa.predictors.subnet_accuracies import SubnetAccuracies
from ofa.space import SearchSpace, get_space
from ofa.space.unit_choices import unit_choices

SPACES = ("mbv3-w1.0", "proxyless-w1.3", "resnet50d")
KNOWN = (128, 160, 224)


def toy(space: SearchSpace, members: int = 3, header: dict | None = None) -> SeparablePredictor:
    """Random weights, at three resolutions."""
    rng = np.random.default_rng(0)
    u, f, h, r = len(space.units), unit_features(space)[0].shape[1], 4, len(KNOWN)
    shapes = (members, u, f, h), (members, u, r, h), (members, u, h), (members, u, h)
    tensors = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
    networks = UnitNetworks(*tensors, rng.normal(70, 1, (members, r)))
    bend = Bend(np.array([60.0, 70.0, 75.0]), np.array([62.0, 71.0, 73.0]))
    return SeparablePredictor(space, KNOWN, networks, bend, header or {}, Uncertainty((0.1, 0.2, 0.3), 2.0, 0.5))


def toy_data(space: SearchSpace, rows: int, noise: float = 0.0) -> SubnetAccuracies:
    """Accuracies that add up over choices, of random networks, rounded to what 2,000 images give."""
    rng = np.random.default_rng(1)
    genes = np.unique(space.sample(rng, rows, resolutions=KNOWN), axis=0)
    weights = np.random.default_rng(2).normal(0, 0.3, genes.shape[1] - 1)
    top1 = 60 + genes[:, 1:] @ weights + (genes[:, 0] - 128) / 16 + rng.normal(0, noise, len(genes))
    return SubnetAccuracies(space, KNOWN, genes, np.round(top1 * 20) / 20)


@pytest.mark.parametrize("name", SPACES)
def test_a_prediction_is_the_bend_of_the_members_mean_sum(name: str) -> None:
    space = get_space(name)
    predictor = toy(space)
    genes = space.sample(np.random.default_rng(2), 5000, resolutions=KNOWN)
    known = np.searchsorted(KNOWN, genes[:, 0])
    features = np.stack(
        [part[u.numbers(genes)] for part, u in zip(unit_features(space), unit_choices(space), strict=True)], axis=1
    )
    sums = predictor.networks.member_sums(features, known)
    assert np.abs(predictor.sums(genes) / PER_CENT - sums.mean(axis=0)).max() < 1e-4
    predicted = predictor.predict(genes)
    assert np.array_equal(predicted.top1, predictor.top1(genes))
    assert np.allclose(predicted.top1, predictor.bend(sums.mean(axis=0)), atol=1e-3)
    spread = predictor.bend(sums).std(axis=0)
    assert np.allclose(predicted.std, np.hypot(np.array([0.1, 0.2, 0.3])[known], 2.0 * spread), atol=1e-3)
    assert np.allclose(predictor.members(genes), predictor.bend(sums))
    order = np.argsort(predictor.sums(genes))
    assert (np.diff(predicted.top1[order]) >= 0).all()


@pytest.mark.parametrize("changed", ["choices", "resolutions", "hidden", "outputs", "levels"])
def test_scores_that_were_worked_out_before_are_those_of_the_same_weights_alone(changed: str) -> None:
    space = get_space("mbv3-w1.0")
    before, again, other = (toy(space) for _ in range(3))
    getattr(other.networks, changed)[0, -1] += 1
    genes = space.sample(np.random.default_rng(3), 500, resolutions=KNOWN)
    sums = before.sums(genes)
    assert np.array_equal(again.sums(genes), sums)
    known = np.searchsorted(KNOWN, genes[:, 0])
    numbers = [part.numbers(genes) for part in unit_choices(space)]
    features = np.stack([f[n] for f, n in zip(unit_features(space), numbers, strict=True)], axis=1)
    found = other.sums(genes) / PER_CENT
    assert np.abs(found - other.networks.member_sums(features, known).mean(axis=0)).max() < 1e-4
    assert np.abs(found - sums / PER_CENT).max() > 0.1


def test_units_choices_list_every_network_once() -> None:
    for name in SPACES:
        space = get_space(name)
        genes = space.sample(np.random.default_rng(0), 3000, resolutions=KNOWN)
        again = np.zeros_like(genes)
        again[:, 0] = genes[:, 0]
        for part in unit_choices(space):
            assert len(np.unique(part.rows, axis=0)) == len(part.rows)
            assert np.array_equal(part.rows, part.rows[np.lexsort(part.rows.T[::-1])])
            again[:, list(part.columns)] = part.rows[part.numbers(genes)]
        assert np.array_equal(again, genes)


def test_between_resolutions_scores_are_linear_in_the_power_minus_two() -> None:
    space = get_space("mbv3-w1.0")
    predictor = toy(space)
    genes = space.sample(np.random.default_rng(3), 400, resolutions=[176])
    low, high = genes.copy(), genes.copy()
    low[:, 0], high[:, 0] = 160, 224
    share = (176.0**-2 - 160.0**-2) / (224.0**-2 - 160.0**-2)
    mixed = predictor.sums(low) + share * (predictor.sums(high) - predictor.sums(low))
    lacking = predictor.sums(genes) - mixed
    assert np.ptp(lacking) <= 12  # rounded once a unit
    straight = replace_bend(predictor, Bend(np.array([60.0, 75.0]), np.array([62.0, 73.0])))
    assert np.abs(straight.sums(genes) - mixed).max() <= 6
    # a network of mean scores has a top-1 on the line between its ends
    level, scores = predictor.unit_scores(176)
    typical = [predictor.of_sums(_mean_sum(*predictor.unit_scores(r))) for r in (160, 224)]
    assert predictor.of_sums(_mean_sum(level, scores)) == pytest.approx(
        typical[0] + share * (typical[1] - typical[0]), abs=1e-4
    )
    predicted = predictor.predict(genes)
    assert predicted.interpolated.all()
    assert (predicted.std > 0.5).all()
    with pytest.raises(InputError, match="members are asked at the resolutions"):
        predictor.members(genes)
    genes[:, 0] = 240
    with pytest.raises(InputError, match="resolution 240 is outside what the predictor covers: 128 to 224 px"):
        predictor.top1(genes)


def replace_bend(predictor: SeparablePredictor, bend: Bend) -> SeparablePredictor:
    return SeparablePredictor(predictor.space, KNOWN, predictor.networks, bend, {}, predictor.uncertainty)


def _mean_sum(level: int, scores: list) -> np.ndarray:
    return np.array(level + sum(part.mean() for part in scores))


def test_files_give_the_same_predictor_and_damage_is_refused(tmp_path: Path) -> None:
    space = get_space("resnet50d")
    predictor, path = toy(space, header={"description": "a toy"}), tmp_path / "toy.safetensors"
    predictor.save(path)
    again = AccuracyPredictor.load(path, space)
    assert isinstance(again, SeparablePredictor)
    genes = space.sample(np.random.default_rng(2), 300, resolutions=KNOWN)
    for name in ("top1", "std"):
        assert np.array_equal(getattr(again.predict(genes), name), getattr(predictor.predict(genes), name))
    with pytest.raises(InputError, match=r"is for resnet50d, not mbv3-w1\.0"):
        AccuracyPredictor.load(path, get_space("mbv3-w1.0"))
    header = json.loads(path.with_suffix(".json").read_text())
    for key, value in (("resolutions", [128, 160]), ("scale", {"offset": "x"}), ("uncertainty", {"noise": [1]})):
        path.with_suffix(".json").write_text(json.dumps({**header, key: value}))
        with pytest.raises(InputError, match=r"toy\.json: damaged"):
            AccuracyPredictor.load(path, space)


def test_a_bend_rises_everywhere_and_has_an_inverse() -> None:
    bend = Bend(np.array([0.0, 1.0, 3.0]), np.array([10.0, 10.5, 20.0]))
    x = np.linspace(-5, 9, 400)
    assert (np.diff(bend(x)) > 0).all()
    assert np.allclose(bend.inverse(bend(x)), x)
    assert np.allclose(bend(np.array([-1.0, 0.5, 2.0, 4.0])), [9.5, 10.25, 15.25, 24.75])
    assert bend.slope(np.array([0.5, 2.0])).tolist() == [0.5, 4.75]
    with pytest.raises(ValueError, match="rises"):
        Bend(np.array([0.0, 1.0]), np.array([1.0, 1.0]))


def test_what_is_promised_is_less_and_less_sure() -> None:
    space = get_space("mbv3-w1.0")
    header = {
        "optimism": {"128": 0.4, "224": 0.2},
        "source_sd": {"128": 0.3},
        "scale": {"offset": -3.0, "sd": 0.2, "checked": "6 networks"},
    }
    plain, predictor = toy(space), toy(space, header=header)
    genes = space.sample(np.random.default_rng(5), 3, resolutions=[128])
    genes[1, 0], genes[2, 0] = 160, 224
    said, promised = predictor.predict(genes), predictor.promised(genes)
    assert np.allclose(said.top1 - promised.top1, [3.2, 3.0, 3.1])
    extra = np.array([0.2**2 + 0.3**2, 0.0, 0.1**2]) + 0.2**2
    assert np.allclose(promised.std**2 - said.std**2, extra)
    assert np.array_equal(plain.promised(genes).top1, plain.top1(genes))


def test_training_finds_scores_that_add_up() -> None:
    space = get_space("mbv3-w1.0")
    data = toy_data(space, 900)
    recipe = Recipe(members=2, hidden=(16,), epochs=40, learning_rate=0.02, weight_decay=0.01)
    predictor = train_separable(data, recipe)
    seen = {row.tobytes() for row in data.genes}
    more = toy_data(space, 2000)
    fresh = more.where(np.array([row.tobytes() not in seen for row in more.genes]))
    error = predictor.top1(fresh.genes) - fresh.top1
    assert error.std() < 0.35 * fresh.top1.std()
    again = train_separable(data, recipe)
    assert np.array_equal(predictor.top1(fresh.genes), again.top1(fresh.genes))
    optimism = measure_optimism(data, replace(recipe, epochs=4, members=1))
    assert set(optimism) == {"128", "160", "224"}
    assert min(optimism.values()) >= 0
    optima = made_up_optima(predictor, np.random.default_rng(0))
    assert len(optima) == 36
    assert predictor.top1(optima).mean() > fresh.top1.mean()
    near = near_frontiers(predictor, 300, np.random.default_rng(0))
    assert len({row.tobytes() for row in near}) == 300


def test_a_sample_of_the_images_is_seen_in_the_accuracies() -> None:
    data = toy_data(get_space("mbv3-w1.0"), 400)
    assert sample_size(data.top1) == 2000
    assert sample_size(data.top1[:10]) is None
    assert sample_size(data.top1 + np.random.default_rng(0).random(len(data.top1))) is None
    found = source_sd(data, None)
    p = data.top1[data.resolutions == 160].mean() / 100
    assert found["160"] == pytest.approx(100 * np.sqrt(p * (1 - p) / 2000), abs=1e-4)
    assert source_sd(data, 4000)["160"] == pytest.approx(found["160"] / np.sqrt(2), abs=1e-4)
    assert source_sd(data, 2000) == {}


def test_a_scale_is_the_mean_difference_and_what_is_left(tmp_path: Path) -> None:
    space = get_space("mbv3-w1.0")
    predictor = toy(space)
    genes = space.sample(np.random.default_rng(5), 4, resolutions=[224])
    above = np.array([3.0, 3.2, 2.8, 3.4])
    lines = ["resolution,depths,kernel_sizes,expand_ratios,top1"]
    for subnet, top1 in zip(space.decode(genes), predictor.top1(genes) - above, strict=True):
        lists = (" ".join(map(str, v)) for v in (subnet.depths, subnet.kernel_sizes, subnet.expand_ratios))
        lines.append(f"224,{','.join(lists)},{top1:.6f}")
    path = tmp_path / "measured.csv"
    path.write_text("\n".join(lines) + "\n")
    scale = fit_scale(predictor, path)
    assert scale.offset == pytest.approx(-3.1, abs=1e-3)
    left_out = [above[i] - np.delete(above, i).mean() for i in range(4)]
    assert scale.sd == pytest.approx(np.sqrt(np.mean(np.square(left_out))), abs=1e-3)
    assert "4 measured sub-networks at 224 px" in scale.checked
    path.write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(InputError, match="2 rows, at least 3 are needed"):
        fit_scale(predictor, path)


def test_a_unit_of_many_configurations_is_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("mbv3-w1.0")
    networks, features = toy(space).networks, unit_features(space)[1]
    monkeypatch.setattr(unit_networks, "_AT_ONCE", len(features))
    whole = networks.unit_table(features, 1)
    monkeypatch.setattr(unit_networks, "_AT_ONCE", 1000)
    parts = networks.unit_table(features, 1)
    assert parts.shape == whole.shape == (3, 7371)
    assert np.allclose(parts, whole, rtol=1e-6)


def test_equal_accuracies_whose_mean_is_rounded_train() -> None:
    data = toy_data(get_space("mbv3-w1.0"), 150)
    third = np.full(len(data.top1), 125 / 3)
    assert third.std() > 0
    predictor = train_separable(replace(data, top1=third), Recipe(members=1, epochs=2, hidden=(4,)))
    assert np.isfinite(predictor.top1(data.genes)).all()
