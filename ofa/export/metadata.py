"""What a model file says of itself: labels, how to prepare its images, what network it is and where it comes from.

All values are text, since that is what ONNX, TFLite, TorchScript and safetensors have in common.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa import __version__
from ofa.images.facts import CROP_RATIO, ImageFacts, Triple
from ofa.images.files.names import shown
from ofa.images.preprocessing import IMAGENET
from ofa.model_files.ends import PIXEL_255
from ofa.networks.spec import NetworkSpec


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
            "scale": PIXEL_255,
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
    if spec.space_sha256:
        found["space_sha256"] = spec.space_sha256
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
