"""Networks: a folder or a file of ours, the original's folder, its net.config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ofa.space import get_space

from ..edits import DIGITS, GONE, Edit, at, images_lie, lies, safetensors_cases, without
from ..format import Format, write
from ..sound import SPACE, SUBNET, TINY, image_facts, sound_images, sound_subnet, tiny_network

NET, NETJ, MIT = "network.safetensors", "network/network.json", "network/net.config"
RUN, CONV = "network/run.config", "conv"


def make_network(folder: Path) -> None:
    from ofa.checkpoints.weights import save_network

    save_network(tiny_network()[1], folder / "network", image_facts())


def make_network_file(folder: Path) -> None:
    from ofa.checkpoints.weights import save_checkpoint

    save_checkpoint(tiny_network()[1], folder / "network.safetensors", images=image_facts())


def make_mit_network(folder: Path) -> None:
    from ofa.checkpoints.weights import save_mit_network

    save_mit_network(tiny_network()[1], folder / "network")


def make_net_config(folder: Path) -> None:
    import torch

    from ofa.checkpoints.mit_layout import spec_to_net_config
    from ofa.networks import build_supernet, extract

    with torch.device("meta"):
        spec = extract(build_supernet(SPACE), SUBNET).spec
    sizes = json.dumps({"image_size": spec.resolution}).encode()
    write(folder / "network", {"net.config": json.dumps(spec_to_net_config(spec)).encode(), "run.config": sizes})


def read_network(path: Path) -> None:
    from ofa.checkpoints.opening import open_checkpoint
    from ofa.checkpoints.weights import read_image_facts as facts_of
    from ofa.networks import PlainNetwork

    net = open_checkpoint(path, TINY, 2)
    assert isinstance(net, PlainNetwork)
    assert 1 <= net.spec.resolution <= 4096
    sound_images(facts_of(path))


def read_net_config(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    named = read_subnet(path / "net.config")
    sound_subnet(named.subnet(get_space(named.space)))


FORMATS: Mapping[str, Format] = {
    "network": Format("network", make_network, read_network),
    "network-file": Format("network.safetensors", make_network_file, read_network),
    "mit-network": Format("network", make_mit_network, read_network),
    "net-config": Format("network", make_net_config, read_net_config),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "network": {
        "no-weights": without("network/network.safetensors"),
        "format": at(NETJ, "format", value="x"),
        "family": at(NETJ, "family", value="x" * 3000),
        "family-list": at(NETJ, "family", value=["mobilenet_v3"]),
        "layers-number": at(NETJ, "layers", value=5),
        "layers-of-numbers": at(NETJ, "layers", value=[1, 2]),
        "layers-text": at(NETJ, "layers", value="abc"),
        "layers-many": at(NETJ, "layers", value=[{}] * 100_000),
        "no-layers": at(NETJ, "layers", value=[]),
        "channels-1e9": at(NETJ, "layers", -1, "out_channels", value=10**9),
        "channels-1e5": at(NETJ, "layers", -1, "out_channels", value=10**5),
        "channels-text": at(NETJ, "layers", -1, "out_channels", value="2" * 3000),
        "channels-half": at(NETJ, "layers", -1, "out_channels", value=2.5),
        "size-1e9": at(NETJ, "layers", 0, "in_size", value=10**9),
        "field-unknown": at(NETJ, "layers", 0, "x\x1b" * 1000, value=1),
        "field-gone": at(NETJ, "layers", 0, "stride", value=GONE),
        "name-dots": at(NETJ, "layers", 0, "name", value="a.b"),
        "name-twice": at(NETJ, "layers", 1, "name", value="stem"),
        "eps-text": at(NETJ, "bn_eps", value="1e-5"),
        "dropout-5": at(NETJ, "dropout", value=5),
        "calibrated-text": at(NETJ, "calibrated", value="no"),
        "space-list": at(NETJ, "space", value=["x"]),
        "subnet-list": at(NETJ, "subnet", value=[1]),
        "subnet-keys": at(NETJ, "subnet", value={"x" * 3000: 1}),
        "subnet-kinds": at(NETJ, "subnet", "resolution", value="64"),
        "subnet-depths": at(NETJ, "subnet", "depths", value=[5000] * 5),
    },
    "network-file": {
        "no-config": lies(NET, config=None),
        "config-list": lies(NET, config="[]"),
        "config-deep": lies(NET, config="[" * 5000),
        "config-digits": lies(NET, config=DIGITS),
        "images": images_lie(NET, std=[0, 0, 0]),
        "images-resolution": images_lie(NET, resolution="x"),
        **safetensors_cases(NET),
    },
    "mit-network": {
        "no-size": without(RUN),
        "size-text": at(RUN, "image_size", value="64" * 300),
        "size-1e9": at(RUN, "image_size", value=10**9),
        "size-zero": at(RUN, "image_size", value=0),
        "name": at(MIT, "name", value=["x"] * 3000),
        "classes-1e9": at(MIT, "classifier", "out_features", value=10**9),
        "classes-text": at(MIT, "classifier", "out_features", value="2"),
        "classes-half": at(MIT, "classifier", "out_features", value=2.5),
        "eps-text": at(MIT, "bn", "eps", value="x"),
        "eps-list": at(MIT, "bn", value=[1]),
        "dropout-text": at(MIT, "classifier", "dropout_rate", value="x"),
        "dropout-5": at(MIT, "classifier", "dropout_rate", value=5),
        "stem-1e9": at(MIT, "first_conv", "out_channels", value=10**9),
        "stem-null": at(MIT, "first_conv", value=None),
        "blocks-number": at(MIT, "blocks", value=5),
        "blocks-text": at(MIT, "blocks", value="x" * 3000),
        "blocks-of-numbers": at(MIT, "blocks", value=[1] * 3000),
        "mid-half": at(MIT, "blocks", 1, CONV, "mid_channels", value=8.5),
        "mid-text": at(MIT, "blocks", 1, CONV, "mid_channels", value="8"),
        "kernel-list": at(MIT, "blocks", 1, CONV, "kernel_size", value=[3] * 1000),
        "stride-true": at(MIT, "blocks", 1, CONV, "stride", value=[1]),
        "activation": at(MIT, "blocks", 1, CONV, "act_func", value="x\x1b" * 900),
    },
    "net-config": {
        "no-size": without(RUN),
        "size-text": at(RUN, "image_size", value="64"),
        "name-list": at(MIT, "name", value=["MobileNetV3"]),
        "classes-text": at(MIT, "classifier", "out_features", value="1000"),
        "classes-1e12": at(MIT, "classifier", "out_features", value=10**12),
        "stem-list": at(MIT, "first_conv", "out_channels", value=[8]),
        "blocks-none": at(MIT, "blocks", value=[]),
        "blocks-number": at(MIT, "blocks", value=7),
        "channels-list": at(MIT, "blocks", 1, CONV, "out_channels", value=[8]),
        "channels-text": at(MIT, "blocks", 1, CONV, "out_channels", value="8"),
        "stride-text": at(MIT, "blocks", 1, CONV, "stride", value="2" * 1000),
        "expand-gone": at(MIT, "blocks", 1, CONV, "expand_ratio", value=GONE),
        "expand-text": at(MIT, "blocks", 1, CONV, "expand_ratio", value="6" * 2000),
        "kernel-null": at(MIT, "blocks", 1, CONV, "kernel_size", value=None),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "mit-network": {"expand-1e300": at(MIT, "blocks", 1, CONV, "expand_ratio", value=1e300)},
}

JSON = {
    "network": "network/network.json",
    "mit-network": "network/net.config",
    "net-config": "network/net.config",
}

BINARY = {
    "network": "network/network.safetensors",
    "network-file": "network.safetensors",
    "mit-network": "network/init",
}
