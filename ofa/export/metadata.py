"""What a model file says of itself: labels, how to prepare its images, what network it is and where it comes from.

All values are text, since that is what ONNX, TFLite, TorchScript and safetensors have in common.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa import __version__
from ofa.errors import InputError
from ofa.images.facts import CROP_RATIO, ImageFacts, Triple
from ofa.images.files.names import composed, shown
from ofa.images.preprocessing import IMAGENET
from ofa.networks.spec import NetworkSpec
from ofa.reading.structured import parse_json


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input.

    resolution: side of the square input, pixels
    layout: "NCHW" or "NHWC"
    mean, std: of (red, green, blue) in 0 to 1: input = (pixel / 255 - mean) / std
    crop_ratio: the shorter side is resized to resolution / crop_ratio, then the centre is cut out
    """

    resolution: int
    layout: str = "NCHW"
    mean: Triple = IMAGENET[0]
    std: Triple = IMAGENET[1]
    crop_ratio: float = CROP_RATIO

    def to_dict(self) -> dict[str, str]:
        """One text a field, lists as JSON."""
        return {
            "resolution": str(self.resolution),
            "layout": self.layout,
            "channels": "RGB",
            "mean": json.dumps(list(self.mean)),
            "std": json.dumps(list(self.std)),
            "scale": "pixel / 255",
            "crop_ratio": str(self.crop_ratio),
            "resize": f"shorter side to resolution / crop_ratio, bilinear, then the central {self.resolution} px",
        }


def model_metadata(
    spec: NetworkSpec,
    preprocessing: Preprocessing,
    *,
    labels: Sequence[str] = (),
    images: ImageFacts | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The metadata of an exported model.

    labels: in the order of the logits, none if not known
    images: all that is known of the images it was trained on, for the next command that reads the file
    facts: anything else worth keeping, as JSON values: the search's result, the calibration, int8's agreement
    """
    found = {
        "producer": f"ofa-latency {__version__}",
        "task": "image classification, logits",
        **preprocessing.to_dict(),
        "num_classes": str(spec.num_classes),
        "family": spec.family,
        "batch_norm_calibrated": "true" if spec.calibrated else "false",
    }
    if spec.space:
        found["space"] = spec.space
    if spec.subnet is not None:
        found["subnet"] = json.dumps(spec.subnet.to_dict())
    if labels:
        found["labels"] = "\n".join(shown(label) for label in labels)  # a line each
    if images is not None:
        found["images"] = images.to_json()
        if images.marks:
            found["marks"] = "\n".join(images.marks)
    for key, value in (facts or {}).items():
        found[key] = value if isinstance(value, str) else json.dumps(value)
    return found


def read_labels(path: Path, num_classes: int) -> list[str]:
    """The class names, in the order of the logits: one a line, a JSON list, or {"0": ["n01440764", "tench"], ...}.

    Raises InputError where the file cannot be read, or their number is not the network's class count.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: labels must be UTF-8 text: {error}") from None
    labels = _json_labels(path, text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
    labels = [label.strip() for label in labels]
    while labels and not labels[-1]:
        labels.pop()
    if len(labels) != num_classes:
        raise InputError(f"{path} holds {len(labels)} labels, but the network has {num_classes} classes")
    for i, label in enumerate(labels):
        if not label or "\n" in label:
            raise InputError(f"{path}: label {i} is {'empty' if not label else 'more than one line'}")
    return labels


def check_order(labels: Sequence[str], classes: Sequence[str], source: object) -> None:
    """InputError where the labels are the class names that a network knows, in another order than its logits."""
    ours, theirs = ([composed(shown(name)) for name in names] for names in (classes, labels))
    if ours != theirs and sorted(ours) == sorted(theirs):
        i = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        raise InputError(
            f"{source}: label {i} is {theirs[i]}, but that logit is {ours[i]}: the checkpoint knows its class names, "
            "leave --labels out"
        )


def _json_labels(path: Path, text: str) -> list[str]:
    content = parse_json(text, path)
    if isinstance(content, dict):
        absent = [str(i) for i in range(len(content)) if str(i) not in content]
        if absent:
            raise InputError(f"{path}: no label {absent[0]}, expected 0 to {len(content) - 1}")
        content = [content[str(i)] for i in range(len(content))]
    flat = [" ".join(map(str, label)) if isinstance(label, list) else label for label in content]
    for i, label in enumerate(flat):
        if not isinstance(label, str):
            raise InputError(f"{path}: label {i} is {label!r}, expected text")
    return flat
