"""Checkpoints: ours and MIT's, both ways; what is damaged, hostile or of another network is refused by name."""

import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ofa.checkpoints.mit_layout import spec_from_net_config, spec_to_net_config
from ofa.checkpoints.opening import open_checkpoint
from ofa.checkpoints.tensors import read_metadata
from ofa.checkpoints.weights import (
    load_checkpoint,
    load_network,
    load_plain,
    load_supernet,
    save_checkpoint,
    save_mit_network,
    save_network,
)
from ofa.errors import InputError
from ofa.networks import NetworkSpec, PlainNetwork, Supernet, build_plain, build_supernet, extract
from ofa.space import SearchSpace, Subnet, get_space
from ofa.space.mit_format import subnet_from_mit, subnet_from_net_config

SPACES = {
    "mbv3": get_space("mbv3-w0.25", 7),
    "proxyless": get_space("proxyless-w0.5", 7),
    "resnet": get_space("resnet50d", 7, (0.1, 0.15)),
}


def sample(space: SearchSpace, seed: int = 0) -> Subnet:
    return space.decode(space.sample(np.random.default_rng(seed), 1, resolutions=[32]))[0]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module", params=sorted(SPACES))
def net(request: pytest.FixtureRequest) -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACES[request.param], resolutions=[32, 236]).eval()


@pytest.fixture(scope="module")
def small() -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACES["mbv3"]).eval()


# ---- round trips


@pytest.mark.parametrize("layout", ["ofa", "mit"])
def test_a_supernet_comes_back(net: Supernet, tmp_path: Path, layout: str) -> None:
    path = tmp_path / "weights"
    save_checkpoint(net, path, layout)
    other = build_supernet(net.space)
    assert not same(net, other)
    load_checkpoint(other, path)
    assert same(net, other)
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]


def test_a_supernets_file_says_which_it_is(net: Supernet, tmp_path: Path) -> None:
    save_checkpoint(net, tmp_path / "net.safetensors")
    back = load_supernet(tmp_path / "net.safetensors")
    assert back.space == net.space
    assert back.resolutions == net.resolutions == (32, 236)
    assert same(net, back)


def test_a_plain_network_comes_back_from_its_folder_and_its_file(net: Supernet, tmp_path: Path) -> None:
    plain = extract(net, sample(net.space))
    save_network(plain, tmp_path / "folder")
    for path in (tmp_path / "folder", tmp_path / "folder" / "network.safetensors"):
        back = load_network(path)
        assert back.spec == plain.spec
        assert same(plain, back)
        assert not back.training


def test_a_plain_network_comes_back_from_mits_files(net: Supernet, tmp_path: Path) -> None:
    plain = extract(net, sample(net.space))
    save_mit_network(plain, tmp_path)
    back = load_network(tmp_path)
    assert back.spec.blocks == plain.spec.blocks
    assert (back.spec.bn_eps, back.spec.dropout) == (plain.spec.bn_eps, plain.spec.dropout)
    assert same(plain, back)


# ---- MIT's layouts, as published


def layout_file(path: Path) -> dict[str, str]:
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: shape for name, shape, *_ in rows}


def written(net: Supernet | PlainNetwork, path: Path) -> dict[str, str]:
    save_checkpoint(net, path, "mit")
    tensors = torch.load(path, weights_only=True)["state_dict"]
    return {name: str(tuple(tensor.shape)) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("file", "space"),
    [("mbv3_w1.0", "mbv3-w1.0"), ("proxyless_w1.3", "proxyless-w1.3"), ("resnet50", "resnet50d")],
)
def test_supernets_are_written_in_mits_layout(reference: Path, tmp_path: Path, file: str, space: str) -> None:
    expected = layout_file(reference / "layout" / f"layout_{file}.txt")
    assert written(build_supernet(get_space(space)), tmp_path / "w") == expected


@pytest.mark.parametrize(
    ("file", "space"),
    [("mbv3_w1.0", "mbv3-w1.0"), ("proxyless", "proxyless-w1.3"), ("resnet50", "resnet50d")],
)
def test_sub_networks_are_written_in_mits_layout(reference: Path, tmp_path: Path, file: str, space: str) -> None:
    path = reference / "layout" / f"layout_extracted_subnet_{file}_example.txt"
    match = re.search(r"net_id: (\{.*\})", path.read_text())
    assert match is not None
    found = get_space(space)
    subnet = subnet_from_mit(found, json.loads(match[1]), 224)
    assert written(extract(build_supernet(found), subnet), tmp_path / "w") == layout_file(path)


def test_the_teachers_weights_fill_a_supernet_but_for_its_kernel_matrices(small: Supernet, tmp_path: Path) -> None:
    space = small.space
    largest = space.decode(space.as_genes(np.array([[32, *(space.cardinalities[1:] - 1)]])))[0]
    save_checkpoint(extract(small, largest), tmp_path / "teacher", "mit")
    other = build_supernet(space)
    with pytest.raises(InputError, match=r"missing unit_1_layer_1\.matrices\.\dto\d"):
        load_checkpoint(other, tmp_path / "teacher")
    load_checkpoint(other, tmp_path / "teacher", kernel_matrices=False)
    assert same(small, other)  # matrices start as the identity in both


@pytest.mark.parametrize("wrap", ["module.", "old names"])
def test_older_and_wrapped_names_are_read(small: Supernet, tmp_path: Path, wrap: str) -> None:
    save_checkpoint(small, tmp_path / "w", "mit")
    tensors = torch.load(tmp_path / "w", weights_only=True)["state_dict"]
    if wrap == "module.":
        renamed = {f"module.{name}": tensor for name, tensor in tensors.items()}
    else:
        old = r"\1.mobile_inverted_conv."
        renamed = {re.sub(r"^(blocks\.\d+)\.conv\.", old, name): t for name, t in tensors.items()}
        assert any("mobile_inverted_conv" in name for name in renamed)
    torch.save(renamed, tmp_path / "renamed")
    other = build_supernet(small.space)
    load_checkpoint(other, tmp_path / "renamed")
    assert same(small, other)


def test_a_published_network_with_zero_layers_loads(reference: Path) -> None:
    folder = reference / "weights"
    config = json.loads((folder / "proxyless-w0.3-r176_imagenet.json").read_text())
    network = PlainNetwork(spec_from_net_config(config, config["resolution"])).eval()
    load_checkpoint(network, folder / "proxyless-w0.3-r176_imagenet.pth")
    assert network.spec.bn_eps == 1e-3
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 176, 176)).isfinite().all()


def test_published_net_configs_are_read_as_the_blocks_of_their_sub_networks(reference: Path) -> None:
    paths = sorted((reference / "networks" / "specialized").glob("*.net.json"))
    assert len(paths) == 26
    for path in paths:
        config = json.loads(path.read_text())
        spec = spec_from_net_config(config, 160)
        space, subnet = subnet_from_net_config(config, 160)
        assert spec_from_net_config(spec_to_net_config(spec), 160) == spec
        assert subnet_from_net_config(spec_to_net_config(spec), 160) == (space, subnet)


# ---- refusals


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_never_run(small: Supernet, tmp_path: Path) -> None:
    for name, save in (("zip", torch.save), ("bare", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        victim = tmp_path / f"{name}-ran"
        save({"state_dict": Hostile(victim)}, tmp_path / name)
        with pytest.raises(InputError, match="it would run code, which is refused"):
            load_checkpoint(small, tmp_path / name)
        assert not victim.exists()


@pytest.mark.parametrize("layout", ["ofa", "mit"])
@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_truncated_files_are_refused(small: Supernet, tmp_path: Path, layout: str, keep: float) -> None:
    path = tmp_path / "w"
    save_checkpoint(small, path, layout)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_checkpoint(small, path)


def test_what_is_not_a_checkpoint_is_refused(small: Supernet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(small, tmp_path / "absent")
    torch.save([1, 2], tmp_path / "list")
    with pytest.raises(InputError, match="expected tensors by name"):
        load_checkpoint(small, tmp_path / "list")
    (tmp_path / "text").write_text("<html>not found</html>")
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(small, tmp_path / "text")
    with pytest.raises(InputError, match="does not state what network"):
        save_file({"a": torch.zeros(1)}, tmp_path / "other")
        load_network(tmp_path / "other")


@pytest.mark.parametrize("layout", ["ofa", "mit"])
def test_every_tensor_must_be_there_fit_and_be_finite(small: Supernet, tmp_path: Path, layout: str) -> None:
    path = tmp_path / "w"
    save_checkpoint(small, path, layout)
    tensors = load_file(path) if layout == "ofa" else torch.load(path, weights_only=True)["state_dict"]
    name = next(name for name in tensors if name.endswith("bn.weight") and "1" in name)
    net = build_supernet(small.space)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}

    def refused(changed: dict[str, torch.Tensor], message: str) -> None:
        if layout == "ofa":
            save_file(changed, path)
        else:
            torch.save(changed, path)
        with pytest.raises(InputError, match=message):
            load_checkpoint(net, path)

    refused({k: t for k, t in tensors.items() if k != name}, r"missing [\w.]*bn\.weight")
    refused({**tensors, "surplus.weight": torch.zeros(1)}, r"unknown surplus\.weight")
    refused({**tensors, name: torch.zeros(3)}, rf"{re.escape(name)} is of shape \(3,\), expected")
    refused({**tensors, name: torch.full_like(tensors[name], torch.nan)}, rf"{re.escape(name)} holds values")
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize("of", ["plain", "supernet", "unnamed"])
def test_a_network_of_many_more_weights_than_its_file_holds_is_refused_before_it_is_made(
    small: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    def made(*_: object, **__: object) -> None:
        pytest.fail("is made all the same")

    path = tmp_path / ("network.pt" if of == "unnamed" else "network.safetensors")
    plain = extract(small, sample(small.space))
    *others, (name, classifier) = plain.spec.layers
    large = replace(plain.spec, layers=(*others, (name, replace(classifier, out_channels=10**5))))
    if of == "plain":
        save_network(plain, tmp_path)
    else:
        save_checkpoint(small, path, "ofa" if of == "supernet" else "mit")
    if of == "supernet":
        metadata = read_metadata(path)
        config = json.loads(metadata["config"]) | {"num_classes": 10**5}
        save_file(load_file(path), path, metadata | {"config": json.dumps(config)})
    for place in ("weights.PlainNetwork", "weights.Supernet", "opening.build_supernet"):
        monkeypatch.setattr(f"ofa.checkpoints.{place}", made)
    with pytest.raises(InputError, match=r"network\.\w+: holds [0-9,]+ weights, but describes a network of"):
        load_plain(large, path) if of == "plain" else open_checkpoint(path, "mbv3-w4.0" if of == "unnamed" else None)


def test_a_file_of_another_space_is_named(small: Supernet, tmp_path: Path) -> None:
    save_checkpoint(small, tmp_path / "w")
    with pytest.raises(InputError, match=r"space is mbv3-w0\.25, but the network's is mbv3-w0\.3"):
        load_checkpoint(build_supernet(get_space("mbv3-w0.3", 7)), tmp_path / "w")
    with pytest.raises(InputError, match="num_classes is 7"):
        load_checkpoint(build_supernet(get_space("mbv3-w0.25", 8)), tmp_path / "w")
    with pytest.raises(InputError, match="layout is"):
        save_checkpoint(small, tmp_path / "w", "tensorflow")


# ---- specs


def test_a_spec_survives_json(net: Supernet) -> None:
    spec = extract(net, sample(net.space)).spec
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert [name for name, _ in build_plain(spec).named_children()] == [name for name, _ in spec.layers]


def test_damaged_specs_are_refused(small: Supernet) -> None:
    good = extract(small, sample(small.space)).spec.to_dict()

    def damaged(**changes: object) -> dict[str, object]:
        return {**json.loads(json.dumps(good)), **changes}

    layers = json.loads(json.dumps(good["layers"]))
    for config, message in (
        (damaged(format="other"), "format is not"),
        (damaged(family="vgg"), "family is 'vgg'"),
        (damaged(layers=[]), "last layer must be the linear classifier"),
        (damaged(layers=layers[:2] + layers[3:]), "takes .* but is given"),
        (
            damaged(layers=[{**layers[0], "stride": "2"}, *layers[1:]]),
            r"layers\[0\]\.stride is '2', expected a whole number",
        ),
        (damaged(layers=[{**layers[0], "colour": 1}, *layers[1:]]), "unknown fields colour"),
        (damaged(layers=[layers[0], *layers]), "names must differ"),
        (damaged(bn_eps="small"), "bn_eps is 'small'"),
        ({k: v for k, v in good.items() if k != "dropout"}, "'dropout' is missing"),
    ):
        with pytest.raises(InputError, match=message):
            NetworkSpec.from_dict(config)


def test_a_network_without_a_layer_before_its_classifier_is_read(reference: Path) -> None:
    """MCUNet's net.config, in which feature_mix_layer is null."""
    config = json.loads((reference.parent / "cases" / "mcunet-256kb-1mb.net.config.json").read_text())
    network = PlainNetwork(spec_from_net_config(config, 160)).eval()
    assert network(torch.zeros(2, 3, 160, 160)).shape == (2, 1000)
    assert network.spec.layers[-2][1].op == "global_pool"
    assert network.spec.layers[-1][1].in_channels == config["classifier"]["in_features"]


def test_damaged_net_configs_are_refused(small: Supernet) -> None:
    good = spec_to_net_config(extract(small, sample(small.space)).spec)
    for config, message in (
        ({**good, "name": "VGG"}, "name is 'VGG'"),
        ({k: v for k, v in good.items() if k != "first_conv"}, "'first_conv'.* the first layer"),
        ({**good, "blocks": [{}]}, "'in_channels'.* what follows stem"),
        ({**good, "blocks": good["blocks"][:1]}, "final_expand takes"),
    ):
        with pytest.raises(InputError, match=message):
            spec_from_net_config(config, 32)
