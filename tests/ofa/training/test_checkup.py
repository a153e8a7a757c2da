"""What a training's check-ups calibrate with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ofa.images.held_out import Photos, open_photos
from ofa.images.preprocessing import HALF
from ofa.networks import build_supernet, extract
from ofa.networks.calibrate import calibrated_plain
from ofa.runs.processes import Processes
from ofa.space import get_space
from ofa.training import checkup
from ofa.training.checkup import Checkup
from ofa.training.supply import Preparation

COLOURS = ("red", "lime", "blue")
SPACE = get_space("mbv3-w0.1", 3)
SUBNET = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[32]))[0]


@pytest.fixture
def coloured(tmp_path: Path) -> Photos:
    """300 images whose class is their colour, 60 held out: more than any batch, one class after the other."""
    for n in range(300):
        folder = tmp_path / COLOURS[n // 100]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), COLOURS[n // 100]).save(folder / f"{n:03d}.png")
    return open_photos(tmp_path, held_out=60)


def check_of(photos: Photos) -> Checkup:
    return Checkup(photos, Preparation(8, *HALF), Processes(0, 1, torch.device("cpu")), 32, 60, 200)


def test_batches_to_calibrate_with_are_of_several_classes(coloured: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def calibrated(net: object, subnet: object, batches: object) -> object:
        seen.extend(batches)  # type: ignore[call-overload]
        return calibrate_bn(net, subnet, seen)  # type: ignore[call-overload]

    calibrate_bn = checkup.calibrate_bn
    monkeypatch.setattr(checkup, "calibrate_bn", calibrated)
    check_of(coloured)(build_supernet(SPACE), {"any": SUBNET})
    assert [len(images) for images in seen] == [64, 64, 72]  # never a last one of 8
    assert [set(images.mean((2, 3)).argmax(1).tolist()) for images in seen] == [{0, 1, 2}] * 3


def test_a_network_trained_alone_is_calibrated_as_a_subnet_is(coloured: Photos) -> None:
    supernet, subnet = build_supernet(SPACE), SUBNET
    network = extract(supernet, subnet).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check = check_of(coloured)
    alone, shared = (check(net.eval(), {"it": subnet}) for net in (network, supernet))
    assert alone["it_images"] == shared["it_images"] == 60
    assert alone["it_loss"] == pytest.approx(shared["it_loss"], rel=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    check.finish(network)
    images = torch.cat([images for images, _ in check._read(coloured.folder, check._final)])
    assert len(images) == 240  # all that is trained on
    once = calibrated_plain(extract(supernet, subnet), [images])
    for name, tensor in network.state_dict().items():
        if "running" in name and name.startswith("stem"):  # later layers see batches normalised apart
            torch.testing.assert_close(tensor, once.state_dict()[name], rtol=1e-3, atol=1e-4)
            assert not torch.equal(tensor, before[name])


def test_nothing_is_told_where_nothing_is_held_out(coloured: Photos) -> None:
    kept = Photos(coloured.folder, tuple(range(300)), ())
    assert check_of(kept)(build_supernet(SPACE), {"any": SUBNET}) == {}
