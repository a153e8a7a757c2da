"""Supernets, the original's weights, and where a training stands."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ..edits import (
    DIGITS,
    GONE,
    Code,
    Edit,
    config_lies,
    disks,
    images_lie,
    lies,
    safetensors_cases,
    tensors,
    torch_file,
    version,
)
from ..format import Format
from ..sound import TINY, image_facts, sound_images, tiny_network

SUPER = "supernet.safetensors"


def make_supernet(folder: Path) -> None:
    from ofa.checkpoints.weights import save_checkpoint

    facts = {"stages": [{"expands": 0, "widths": 0}]}
    save_checkpoint(tiny_network()[0], folder / "supernet.safetensors", facts=facts, images=image_facts())


def read_supernet(path: Path) -> None:
    from ofa.checkpoints import weights
    from ofa.checkpoints.opening import open_supernet
    from ofa.training.shrinking import trained_choices

    net = open_supernet(path, TINY, 2)
    assert net.space.num_classes == 2
    assert 0 <= net.dropout < 1
    assert all(32 <= r <= 1024 for r in net.resolutions)
    sound_images(weights.read_image_facts(path))
    assert isinstance(weights.read_facts(path), dict)
    weights.read_calibration(path)
    trained_choices(net.space, path)


def make_weights(folder: Path) -> None:
    import torch

    torch.save({"state_dict": {"a.weight": torch.zeros(3, 4), "a.bias": torch.arange(3.0)}}, folder / "weights.pth")


def read_weights(path: Path) -> None:
    from torch import Tensor

    from ofa.reading.torch_file import read_torch_file

    assert all(isinstance(tensor, Tensor) for tensor in read_torch_file(path).values())


def make_state(folder: Path) -> None:
    import torch

    from ofa.training.state import write_state

    write_state(folder / "state.safetensors", {"network": {"a": torch.zeros(3)}}, {"epoch": 1, "settings": {}})


def read_training_state(path: Path) -> None:
    from ofa.training.state import read_state

    groups, facts = read_state(path)
    assert isinstance(facts, dict)
    assert all(groups.values())


def compressed(files: dict[str, bytes]) -> dict[str, bytes]:
    """torch's file with its entries packed: 6 MB become 6 GB."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files["weights.pth"])) as source, zipfile.ZipFile(target, "w", 8) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    return {"weights.pth": target.getvalue()}


FORMATS: Mapping[str, Format] = {
    "supernet": Format("supernet.safetensors", make_supernet, read_supernet),
    "weights": Format("weights.pth", make_weights, read_weights),
    "state": Format("state.safetensors", make_state, read_training_state),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "supernet": {
        "classes-1e9": config_lies(SUPER, num_classes=10**9),
        "classes-huge": config_lies(SUPER, num_classes=10**39),
        "classes-3": config_lies(SUPER, num_classes=3),
        "classes-text": config_lies(SUPER, num_classes="2"),
        "classes-half": config_lies(SUPER, num_classes=2.5),
        "classes-true": config_lies(SUPER, num_classes=True),
        "resolutions-text": config_lies(SUPER, resolutions=["64"]),
        "resolutions-one-text": config_lies(SUPER, resolutions="64"),
        "resolutions-many": config_lies(SUPER, resolutions=[64] * 100_000 + [1]),
        "resolutions-null": config_lies(SUPER, resolutions=None),
        "space-wider": config_lies(SUPER, space="mbv3-w4.0"),
        "space-list": config_lies(SUPER, space=["mbv3-w0.05"]),
        "space-other": config_lies(SUPER, space="resnet50d"),
        "space-long": config_lies(SUPER, space="z\x1b" * 3000),
        "widths": config_lies(SUPER, width_mults=[1.0]),
        "dropout-nan": config_lies(SUPER, dropout="nan"),
        "dropout-minus": config_lies(SUPER, dropout=-1),
        "dropout-1e300": config_lies(SUPER, dropout=1e300),
        "no-space": config_lies(SUPER, space=GONE),
        "no-config": lies(SUPER, config=None),
        "config-cut": lies(SUPER, config='{"space": "mbv3'),
        "config-list": lies(SUPER, config="[]"),
        "config-deep": lies(SUPER, config="[" * 5000),
        "config-digits": lies(SUPER, config=DIGITS),
        "format-unknown": lies(SUPER, format="ofa-supernet/9\x1b" * 300, config=None, images="[" * 5000),
        "images-deep": lies(SUPER, images="[" * 5000),
        "images-cut": lies(SUPER, images='{"mean"'),
        "images-mean": images_lie(SUPER, mean="0.5"),
        "training-list": lies(SUPER, training="[1]"),
        "training-cut": lies(SUPER, training="{"),
        "stages-number": lies(SUPER, training='{"stages": 5}'),
        "stages-of-numbers": lies(SUPER, training='{"stages": [1]}'),
        "stages-text": lies(SUPER, training='{"stages": [{"expands": "x"}]}'),
        "stages-negative": lies(SUPER, training='{"stages": [{"expands": -1}]}'),
        "stages-huge": lies(SUPER, training='{"stages": [{"expands": 1e300}]}'),
        **safetensors_cases(SUPER),
    },
    "weights": {
        "two-disks": disks("weights.pth"),
        "version-104": version("weights.pth"),
        "compressed": compressed,
        "expanded": torch_file(tensors(a=lambda t: t.zeros(1).expand(10**9))),
        "integers": torch_file({1: 2}),
        "code": torch_file({"a": Code()}),
        "names": torch_file({"n\x1b" * 1000: 5}),
    },
    "state": {
        "format": lies("state.safetensors", format="x"),
        "facts-cut": lies("state.safetensors", facts="{"),
        "facts-deep": lies("state.safetensors", facts="[" * 5000),
        "facts-list": lies("state.safetensors", facts="[]"),
        **safetensors_cases("state.safetensors"),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "supernet": {
        "images-escape": images_lie(SUPER, classes=["\x1b[31m", "b"], marks=["\x1b[31m"]),
        "no-training": lies(SUPER, training=None),
        "training-stages-null": lies(SUPER, training='{"stages": null}'),
    },
}

BINARY = {
    "supernet": "supernet.safetensors",
    "weights": "weights.pth",
    "state": "state.safetensors",
}
