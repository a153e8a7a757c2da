"""MIT's released predictors give MIT's own outputs."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.space import get_space
from ofa.space.mit_format import subnet_from_mit, subnet_from_net_config, subnet_to_mit

RESOLUTIONS = tuple(range(112, 225, 16))


def test_golden_outputs_of_the_tutorial_format(reference):
    space = get_space("mbv3-w1.2")
    predictor = AccuracyPredictor.load(reference / "golden/predictor_tutorial.pt", space, RESOLUTIONS)
    archs = json.loads((reference / "golden/predictor_tutorial_archs.json").read_text())["archs"]
    subnets = [subnet_from_mit(space, {key: arch[key] for key in ("ks", "e", "d", "r")}) for arch in archs]
    golden = np.load(reference / "golden/predictor_tutorial_io.npz")
    assert np.array_equal(golden["features"], predictor.encoder.training_features(space.as_genes(subnets)))
    predicted = predictor.predict(subnets)
    assert np.abs(predicted.top1 / 100 - golden["outputs"][:, 0]).max() < 1e-5
    assert np.isnan(predicted.std).all()


def test_tutorial_format_is_trusted_only_where_it_was_trained(reference):
    space = get_space("mbv3-w1.2")
    path = reference / "predictors/acc_predictor.pth"
    trusted = AccuracyPredictor.load(path, space)
    assert trusted.resolutions == (160, 176, 192, 208, 224)
    genes = space.sample(np.random.default_rng(0), 500, resolutions=[112])
    with pytest.raises(InputError, match="resolution 112 is outside what the predictor covers: 160 to 224"):
        trusted.predict(genes)
    # why: it puts 112 px above 176 px
    at_176 = genes.copy()
    at_176[:, 0] = 176
    everything = AccuracyPredictor.load(path, space, RESOLUTIONS)
    assert everything.predict(genes).top1.mean() > everything.predict(at_176).top1.mean()
    assert np.array_equal(everything.predict(at_176).top1, trusted.predict(at_176).top1)


def test_resnet_equals_a_plain_torch_forward_pass(reference):
    path = reference / "predictors/ofa_resnet50_acc_predictor.pth"
    space = get_space("resnet50d")
    predictor = AccuracyPredictor.load(path, space)
    assert predictor.resolutions == (128, 144, 160, 176, 192, 224, 240, 256)
    genes = space.sample(np.random.default_rng(0), 200, resolutions=predictor.resolutions)
    state = torch.load(path, map_location="cpu", weights_only=True)
    rows = []
    for subnet in space.decode(genes):  # the layout of ResNetArchEncoder, written out
        mit = subnet_to_mit(space, subnet)
        row = [float(subnet.resolution == r) for r in predictor.resolutions]
        row += [float(mit["d"][0] == 0), float(mit["d"][0] > 0)]
        for width in mit["w"]:
            row += [float(width == i) for i in range(3)]
        layer = 0
        for base, depth in zip((2, 2, 4, 2), mit["d"][1:], strict=True):
            for j in range(base + 2):
                row += [float(j < base + depth and mit["e"][layer] == e) for e in (0.2, 0.25, 0.35)]
                layer += 1
        rows.append(row)
    x = torch.tensor(rows)
    for i in range(3):
        x = torch.relu(x @ state[f"layers.{i}.0.weight"].T + state[f"layers.{i}.0.bias"])
    expected = (x @ state["layers.3.weight"].T)[:, 0] + state["base_acc"]
    assert np.abs(predictor.predict(genes).top1 / 100 - expected.numpy()).max() < 1e-5


def test_its_figures_lie_above_imagenet_validation_by_a_constant(reference):
    # what the header of the shipped mbv3-w1.2 says: about 3.5 points above the published accuracies
    above = []
    with (reference / "networks/published.csv").open() as file:
        for row in csv.DictReader(file):
            path = reference / "networks/specialized" / f"{row['name']}.net.json"
            space, subnet = subnet_from_net_config(json.loads(path.read_text()), int(row["image_size"]))
            if space.name == "mbv3-w1.2" and subnet.resolution <= 224:
                predictor = AccuracyPredictor.load(reference / "predictors/acc_predictor.pth", space)
                above.append(predictor.predict(subnet).top1[0] - float(row["top1"]))
    assert above == pytest.approx([3.5] * 4, abs=0.1)


def _nas_checkpoint(path: Path, features: int) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {"base_acc": torch.tensor([0.7])}
    for i, inputs in enumerate((features, 8)):
        state[f"layers.{i}.0.weight"] = torch.randn(8, inputs, generator=generator)
        state[f"layers.{i}.0.bias"] = torch.randn(8, generator=generator)
    state["layers.2.weight"] = torch.randn(1, 8, generator=generator) * 1e-3
    torch.save({"state_dict": state}, path)


def test_nas_format_of_a_mobilenet_needs_its_resolutions_named(tmp_path):
    path = tmp_path / "nas.pth"
    _nas_checkpoint(path, 120 + 2)
    space = get_space("mbv3-w1.0")
    with pytest.raises(InputError, match="which 2 resolutions it knows"):
        AccuracyPredictor.load(path, space)
    predictor = AccuracyPredictor.load(path, space, resolutions=[160, 224])
    predicted = predictor.predict(space.sample(np.random.default_rng(0), 50, resolutions=[160, 192]))
    assert predicted.interpolated.any() and not predicted.interpolated.all()
    with pytest.raises(InputError, match=r"is not for mbv3-w1.0: it reads 122 features, mbv3-w1.0 has 123"):
        AccuracyPredictor.load(path, space, resolutions=[160, 192, 224])


def test_a_predictor_of_another_family_is_refused(reference):
    with pytest.raises(InputError, match=r"is for OFA-MobileNetV3 .* not for proxyless-w1.3"):
        AccuracyPredictor.load(reference / "predictors/acc_predictor.pth", get_space("proxyless-w1.3"))
    with pytest.raises(InputError, match=r"ofa_resnet50_acc_predictor.pth"):
        AccuracyPredictor.load(reference / "predictors/ofa_resnet50_acc_predictor.pth", get_space("mbv3-w1.2"))


class _Malicious:
    def __reduce__(self):
        return (Path.write_text, (Path("owned"), "owned"))


def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(_Malicious()))
    torch.save({"0.weight": _Malicious()}, tmp_path / "zip.pth")
    for name in ("bad.pth", "zip.pth"):
        with pytest.raises(InputError, match=f"{name}: not a checkpoint of tensors alone"):
            AccuracyPredictor.load(tmp_path / name, get_space("mbv3-w1.0"))
    assert not (tmp_path / "owned").exists()


def test_truncated_and_foreign_checkpoints_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth: not an accuracy predictor: .*got conv.weight"):
        AccuracyPredictor.load(tmp_path / "other.pth", get_space("mbv3-w1.0"))
    data = (tmp_path / "other.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut.pth: not a checkpoint of tensors alone"):
        AccuracyPredictor.load(tmp_path / "cut.pth", get_space("mbv3-w1.0"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds a list, expected tensors by name"):
        AccuracyPredictor.load(tmp_path / "list.pth", get_space("mbv3-w1.0"))
