"""Checkpoints are opened in one place, whatever they are: files and folders, supernets and networks, ours and MIT's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.checkpoints import opening, weights
from ofa.checkpoints.opening import checkpoint_kind, open_checkpoint, open_subnet, open_supernet
from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.tensors import read_tensors
from ofa.checkpoints.weights import save_checkpoint, save_mit_network, save_network
from ofa.errors import InputError
from ofa.networks import PlainNetwork, Supernet, build_supernet, extract
from ofa.space import get_space

SPACE = get_space("mbv3-w0.1", 4)
SUBNET = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[64]))[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet and a sub-network of it, in every form."""
    path = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    net = build_supernet(SPACE).eval()
    save_checkpoint(net, path / "supernet.safetensors")
    save_checkpoint(net, path / "mit.pt", "mit")
    save_network(extract(net, SUBNET), path / "network")
    save_mit_network(extract(net, SUBNET), path / "mit-network")
    (path / "subnet.json").write_text(json.dumps({"space": SPACE.name, "num_classes": 4, "subnet": SUBNET.to_dict()}))
    return path


def test_one_tensor_is_read_without_the_others(folder: Path) -> None:
    tensors, metadata = read_tensors(folder / "supernet.safetensors")
    name = next(iter(tensors))
    assert read_tensors(folder / "supernet.safetensors", only="none") == ({}, metadata)
    (only,) = read_tensors(folder / "supernet.safetensors", only=name)[0].items()
    assert only[0] == name
    assert torch.equal(only[1], tensors[name])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("supernet.safetensors", "supernet"),
        ("mit.pt", "unknown"),
        ("network", "network"),
        ("network/network.safetensors", "network"),
        ("mit-network", "network"),
    ],
)
def test_every_form_is_opened_to_the_same_weights_and_read_once(
    folder: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    for module in (opening, weights):
        monkeypatch.setattr(module, "read_tensors", lambda path, **how: read.append(path) or read_tensors(path, **how))
    assert checkpoint_kind(folder / name) == kind
    opened = open_checkpoint(folder / name, SPACE.name if kind == "unknown" else None)
    assert len(read) == 1
    assert isinstance(opened, PlainNetwork if kind == "network" else Supernet)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = extract(open_supernet(folder / "supernet.safetensors"), SUBNET).eval()(images)
        network = opened if isinstance(opened, PlainNetwork) else extract(opened, SUBNET)
        assert torch.allclose(network.eval()(images), expected, atol=1e-5)
    if kind != "network":
        named = read_subnet(folder / "subnet.json")
        found = open_subnet(folder / name, named, space_name=None, resolution=96)
        assert found.subnet is not None
        assert (found.subnet.resolution, found.num_classes) == (96, 4)


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        checkpoint_kind(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"mit\.pt does not name its space: give --space"):
        open_checkpoint(folder / "mit.pt")
    with pytest.raises(InputError, match=r"supernet\.safetensors is of mbv3-w0\.1, not mbv3-w1\.0"):
        open_checkpoint(folder / "supernet.safetensors", "mbv3-w1.0")
    with pytest.raises(InputError, match="holds one specialised network: expected a supernet"):
        open_supernet(folder / "network" / "network.safetensors")
    with pytest.raises(InputError, match=r"holds a supernet of mbv3-w0\.1, .*name the sub-network with --subnet"):
        open_subnet(folder / "supernet.safetensors", None)
    named = read_subnet(folder / "subnet.json")
    with pytest.raises(InputError, match=r"subnet\.json is of mbv3-w0\.1, not mbv3-w1\.0"):
        open_subnet(folder / "mit.pt", named, space_name="mbv3-w1.0")
