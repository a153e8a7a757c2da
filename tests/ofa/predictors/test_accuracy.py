"""Predictors that are shipped, saved and loaded: what they say, and what they refuse."""

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.predictors.accuracy import WEIGHTS, AccuracyPredictor, Uncertainty
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.metrics import rmse
from ofa.predictors.mlp import Mlp
from ofa.predictors.prediction import interval_95
from ofa.predictors.subnet_accuracies import read_accuracies_csv, split
from ofa.space import get_space

CSV = "accuracy/ofa_mbv3_w1.0_imagenet_top1.csv"


def planted(space, resolutions, seed=0, members=3):
    """A predictor with random weights: enough to move files around."""
    rng = np.random.default_rng(seed)
    encoder = FeatureEncoder(space, resolutions)
    sizes = (encoder.num_features, 8, 1)
    networks = [
        Mlp(
            tuple(rng.normal(size=pair).astype(np.float32) for pair in pairwise(sizes)),
            tuple(rng.normal(size=n).astype(np.float32) for n in sizes[1:]),
        )
        for _ in range(members)
    ]
    levels = [60.0 + i for i in range(len(resolutions))]
    uncertainty = Uncertainty(tuple(0.1 * (i + 1) for i in range(len(resolutions))), 1.5, 0.2)
    return AccuracyPredictor(encoder, networks, {"description": "planted"}, uncertainty, levels)


@pytest.fixture
def saved(tmp_path):
    planted(get_space("mbv3-w1.0"), (128, 192, 224)).save(tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


@pytest.mark.parametrize("name", ["mbv3-w1.0", "mbv3-w1.2"])
def test_shipped_predictors_are_small_deterministic_and_say_where_they_come_from(name):
    space = get_space(name)
    first, second = AccuracyPredictor.default(space), AccuracyPredictor.default(space)
    genes = space.sample(np.random.default_rng(0), 600, resolutions=first.resolutions)
    one, two = first.predict(genes), second.predict(genes)
    assert np.array_equal(one.top1, two.top1) and np.array_equal(one.std, two.std)
    assert ((one.top1 > 55) & (one.top1 < 90)).all() and ((one.std > 0) & (one.std < 2)).all()
    assert not one.interpolated.any()
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1_000_000
    assert first.header["origin"]["source"] and first.description


def test_shipped_predictor_reaches_the_stated_figures_on_its_test_part(reference):
    data = read_accuracies_csv(reference / CSV, "mbv3-w1.0")
    test = data.where(split(data.genes)["test"])
    predictor = AccuracyPredictor.default(data.space)
    stated = predictor.header["report"]["test"]
    predicted = predictor.predict(test.genes).top1
    for resolution in data.known:
        rows = test.resolutions == resolution
        assert stated[str(resolution)]["rows"] == rows.sum()
        assert stated[str(resolution)]["rmse"] == pytest.approx(rmse(predicted[rows], test.top1[rows]), abs=1e-3)


def test_largest_subnet_is_predicted_near_the_top():
    for name in ("mbv3-w1.0", "mbv3-w1.2"):
        space = get_space(name)
        predictor = AccuracyPredictor.default(space)
        largest = np.array([[224, *(space.cardinalities[1:] - 1)]])
        random = predictor.predict(space.sample(np.random.default_rng(0), 5000, resolutions=[224])).top1
        assert predictor.predict(largest).top1[0] > np.quantile(random, 0.995)


def test_predicting_imports_neither_torch_nor_pandas_nor_scipy():
    code = (
        "import sys; from ofa.space import get_space; from ofa.predictors.accuracy import AccuracyPredictor as P;"
        "s = get_space('mbv3-w1.0'); P.default(s).predict(s.subnet([3]*20, [3]*20, [2]*5, 192));"
        "print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_subnets_and_rows_give_the_same():
    space = get_space("mbv3-w1.0")
    predictor = AccuracyPredictor.default(space)
    genes = space.sample(np.random.default_rng(3), 40, resolutions=(128, 160, 176, 224))
    subnets = space.decode(genes)
    by_row = predictor.predict(genes)
    assert np.array_equal(predictor.predict(subnets).top1, by_row.top1)
    assert predictor.predict(subnets[0]).top1 == pytest.approx(by_row.top1[:1], abs=1e-4)
    assert predictor.predict(genes[:0]).top1.shape == (0,)
    assert np.array_equal(by_row.interpolated, genes[:, 0] == 176)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), resolution=st.sampled_from([140, 160, 188, 192, 220]))
def test_between_two_resolutions_the_prediction_lies_between_theirs(seed, resolution):
    space = get_space("mbv3-w1.0")
    predictor = planted(space, (128, 160, 192, 224))
    genes = space.sample(np.random.default_rng(seed), 5, resolutions=[resolution])
    around = []
    for known in (
        max(r for r in predictor.resolutions if r <= resolution),
        min(r for r in predictor.resolutions if r >= resolution),
    ):
        genes_there = genes.copy()
        genes_there[:, 0] = known
        around.append(predictor.predict(genes_there).top1)
    predicted = predictor.predict(genes)
    assert (predicted.top1 >= np.minimum(*around) - 1e-9).all() and (predicted.top1 <= np.maximum(*around) + 1e-9).all()
    assert predicted.interpolated.all() == (resolution not in predictor.resolutions)


def test_a_resolution_outside_the_range_is_refused():
    space = get_space("mbv3-w1.0")
    predictor = AccuracyPredictor.default(space)
    for resolution in (112, 240):
        genes = space.sample(np.random.default_rng(0), 3, resolutions=[resolution])
        with pytest.raises(
            InputError, match=f"resolution {resolution} is outside what the predictor covers: 128 to 224"
        ):
            predictor.predict(genes)


def test_save_and_load_are_exact(saved):
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(0), 1500)
    before = planted(space, (128, 192, 224)).predict(genes)
    after = AccuracyPredictor.load(saved, space).predict(genes)
    for field in ("top1", "std", "interpolated"):
        assert np.array_equal(getattr(before, field), getattr(after, field))
    assert sorted(p.name for p in saved.parent.iterdir()) == ["p.json", "p.safetensors"]


def test_other_classes_are_the_same_space(saved):
    space = get_space("mbv3-w1.0", num_classes=10)
    assert AccuracyPredictor.load(saved, space).space.num_classes == 10


@pytest.mark.parametrize(
    ("name", "differs"),
    [("mbv3-w1.2", "width_choices"), ("proxyless-w1.0", "family"), ("resnet50d", "kernel_choices")],
)
def test_a_predictor_of_another_space_is_refused(saved, name, differs):
    with pytest.raises(InputError, match=rf"p.safetensors is for mbv3-w1.0, not {name} .*{differs}"):
        AccuracyPredictor.load(saved, get_space(name))


def test_no_shipped_predictor_names_those_that_exist():
    with pytest.raises(InputError, match=r"for resnet50d \(there is one for mbv3-w0.35, mbv3-w1.0, mbv3-w1.2\)"):
        AccuracyPredictor.default(get_space("resnet50d"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def _edit(**fields):
    def change(path: Path) -> None:
        header = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(header | fields))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"p.safetensors: not a safetensors file"),
        (_flip, r"p.safetensors: its sha256 is not the one in p.json"),
        (lambda p: p.write_bytes(b""), r"p.safetensors: not a safetensors file"),
        (lambda p: p.unlink(), r"no such predictor"),
        (lambda p: p.with_suffix(".json").unlink(), r"its header p.json is not next to it"),
        (lambda p: _cut(p.with_suffix(".json")), r"p.json: not JSON"),
        (lambda p: p.with_suffix(".json").write_text("[]"), r"p.json: a list, expected an object"),
        (_edit(schema="ofa-accuracy-predictor/9"), r"schema is 'ofa-accuracy-predictor/9', expected"),
        (_edit(resolutions=[224, 128, 192]), r"p.json: damaged"),
        (_edit(resolutions=[128, 224]), r"p.json: damaged"),
        (_edit(resolutions=[128, 192, 2240]), r"p.json: damaged"),
        (_edit(uncertainty={"noise": 3}), r"p.json: damaged"),
        (_edit(choices=None), r"p.json: damaged"),
        (_edit(features=["depths"]), r"p.json: damaged"),
    ],
)
def test_damaged_files_are_refused(saved, damage, message):
    damage(saved)
    with pytest.raises(InputError, match=message):
        AccuracyPredictor.load(saved, get_space("mbv3-w1.0"))


def test_only_safetensors_is_written(tmp_path):
    space = get_space("mbv3-w1.0")
    with pytest.raises(InputError, match=r"x.pth: a predictor is saved as .safetensors"):
        planted(space, (128, 224)).save(tmp_path / "x.pth")


def test_an_interval_holds_accuracies_that_there_are() -> None:
    assert interval_95(80.0, 5.0) == pytest.approx((70.2, 89.8))
    assert interval_95(96.0, 5.0) == pytest.approx((86.2, 100.0))
    assert interval_95(1.0, 5.0) == pytest.approx((0.0, 10.8))
    assert interval_95(101.0, 1.0) == pytest.approx((99.04, 101.0))  # it holds what is predicted
    assert interval_95(80.0, math.nan) is None
