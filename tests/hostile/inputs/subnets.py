"""Sub-networks: a search's result, one of ours, one of the original's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ofa.space import get_space
from ofa.space.mit_format import subnet_to_mit

from ..edits import GONE, Edit, at, without
from ..format import Format
from ..sound import IMAGES, SPACE, SUBNET, sound_images, sound_subnet

R, S = "result.json", "subnet.json"


def make_result(folder: Path) -> None:
    row = {"table": "t", "limit_ms": 20, "latency_ms": 19.5, "predicted_top1": 70.5, "subnet": SUBNET.to_dict()}
    other = {**row, "limit_ms": 30, "latency_ms": 29.5}
    content = {"space": SPACE.name, "num_classes": 1000, "images": IMAGES, "results": [row, other]}
    (folder / "result.json").write_text(json.dumps(content))


def read_result(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    for limit_ms in (None, 30.0):
        named = read_subnet(path, limit_ms=limit_ms)
        sound_images(named.images)
        sound_subnet(named.subnet(get_space(named.space or SPACE.name)))
        assert 32 <= named.resolution <= 1024


def make_subnet(folder: Path) -> None:
    (folder / "subnet.json").write_text(json.dumps({"space": SPACE.name, **SUBNET.to_dict()}))


def make_mit_subnet(folder: Path) -> None:
    (folder / "subnet.json").write_text(json.dumps(subnet_to_mit(SPACE, SUBNET)))


def read_one_subnet(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    named = read_subnet(path)
    sound_subnet(named.subnet(get_space(named.space or SPACE.name)))
    assert 32 <= named.resolution <= 1024


FORMATS: Mapping[str, Format] = {
    "result": Format("result.json", make_result, read_result),
    "subnet": Format("subnet.json", make_subnet, read_one_subnet),
    "mit-subnet": Format("subnet.json", make_mit_subnet, read_one_subnet),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "result": {
        "results-none": at(R, "results", value=[]),
        "results-number": at(R, "results", value=3),
        "results-of-numbers": at(R, "results", value=[1, 2]),
        "subnet-gone": at(R, "results", 0, "subnet", value=GONE),
        "subnet-list": at(R, "results", 0, "subnet", value=[1]),
        "unknown-key": at(R, "results", 0, "subnet", "x\x1b" * 300, value=1),
        "unknown-keys": at(R, "results", 0, "subnet", value={"depths": [], **{f"k{i}" * 20: 1 for i in range(500)}}),
        "depths-text": at(R, "results", 0, "subnet", "depths", value="22222"),
        "depths-null": at(R, "results", 0, "subnet", "depths", value=None),
        "depths-object": at(R, "results", 0, "subnet", "depths", value={"a": "b" * 3000}),
        "depths-nested": at(R, "results", 0, "subnet", "depths", value=[[2] * 1000] * 5),
        "depths-true": at(R, "results", 0, "subnet", "depths", value=[True] * 5),
        "kernels-huge": at(R, "results", 0, "subnet", "kernel_sizes", value=[10**39] * 20),
        "kernels-many": at(R, "results", 0, "subnet", "kernel_sizes", value=[3] * 100_000),
        "resolution-text": at(R, "results", 0, "subnet", "resolution", value="64"),
        "resolution-list": at(R, "results", 0, "subnet", "resolution", value=[64, 64] * 500),
        "resolution-huge": at(R, "results", 0, "subnet", "resolution", value=10**39),
        "resolution-1e300": at(R, "results", 0, "subnet", "resolution", value=1e300),
        "resolution-half": at(R, "results", 0, "subnet", "resolution", value=64.5),
        "space-list": at(R, "space", value=["mbv3-w0.35"]),
        "space-long": at(R, "space", value="mbv3-\x1b" * 1000),
        "classes-text": at(R, "num_classes", value="10"),
        "limit-text": at(R, "results", 0, "limit_ms", value="20"),
        "latency-text": at(R, "results", 0, "latency_ms", value="19" * 1000),
        "latency-null": at(R, "results", 1, "latency_ms", value=None),
        "latency-negative": at(R, "results", 0, "latency_ms", value=-5),
        "latency-huge": at(R, "results", 0, "latency_ms", value=10**39),
        "top1-text": at(R, "results", 0, "predicted_top1", value="70"),
        "top1-1000": at(R, "results", 0, "predicted_top1", value=1000),
        "tables": at(R, "results", 0, "table", value="t\x1b" * 1000),
        "table-list": at(R, "results", 0, "table", value=["t"]),
        "images-list": at(R, "images", value=[1]),
        "mean-4": at(R, "images", "mean", value=[0.1, 0.2, 0.3, 0.4]),
        "mean-long": at(R, "images", "mean", value=[0.1] * 10_000),
        "mean-huge": at(R, "images", "mean", 0, value=1e300),
        "std-zero": at(R, "images", "std", 0, value=0),
        "std-true": at(R, "images", "std", 0, value=True),
        "crop": at(R, "images", "crop_ratio", value="0.875"),
        "resolution-of-images": at(R, "images", "resolution", value="64"),
        "smallest-crop": at(R, "images", "smallest_crop", value=[0.1]),
        "trained-on-keys": at(R, "images", "trained_on", value={"x" * 2000: 1}),
        "trained-on-kinds": at(
            R, "images", "trained_on", value={"name": 1, "images": "3", "names_sha256": None, "sample_sha256": []}
        ),
        "held-out": at(R, "images", "held_out", value={"count": "x", "seed": None, "sha256": 3}),
        "classes-numbers": at(R, "images", "classes", value=[1, 2]),
        "marks-text": at(R, "images", "marks", value="m" * 5000),
        "contents": at(R, "images", "contents", value=[{"size_bits": 65, "content_bits": 0, "hashes": ""}]),
        "hashes": at(R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": 5}]),
        "hashes-text": at(R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": "\u00fc"}]),
        "contents-many": at(
            R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": "A" * 4_000_000}]
        ),
    },
    "subnet": {
        "space-null": at(S, "space", value=None),
        "gone": without(S),
        "classes": at(S, "num_classes", value=1.5),
    },
    "mit-subnet": {
        "w": at(S, "w", value=1.2),
        "unknown": at(S, "q" * 2000, value=1),
        "ks-text": at(S, "ks", value="3" * 20),
        "ks-object": at(S, "ks", value={"a" * 1000: 1}),
        "e-null": at(S, "e", value=None),
        "d-9": at(S, "d", value=9),
        "d-true": at(S, "d", value=True),
        "r-two": at(S, "r", value=[64] * 500),
        "r-text": at(S, "r", value="64\x1b" * 500),
        "r-gone": at(S, "r", value=GONE),
        "sizes-differ": at(S, "image_size", value=10**39),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "result": {
        "classes-escape": at(R, "images", "classes", value=["\x1b[31m", "\u202e"]),
        "top1-null": at(R, "results", 0, "predicted_top1", value=None),
        "name": at(R, "results", 0, "name", value="x"),
        "latency-whole": at(R, "results", 0, "latency_ms", value=19),
    },
}

JSON = {
    "result": "result.json",
    "subnet": "subnet.json",
    "mit-subnet": "subnet.json",
}
