"""A model file's input and output as its metadata describes them, and how prepared images pass through both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.graph import Array
from ofa.images.facts import Triple, facts_of_metadata
from ofa.reading.numbers import Bounds, short
from ofa.reading.structured import parse_object

INPUT, OUTPUT = "input", "output"  # keys of the metadata
SCALE = Bounds(1e-30, 1e30, "units")
# of `scale` in the metadata: what a pixel is when mean and std are applied
PIXEL_255, IN_FILE = "pixel / 255", "pixels 0 to 255, prepared in the file"


@dataclass(frozen=True)
class Quantised:
    """Integers that stand for numbers: number = (integer - zero_point) * scale. dtype: int8 or uint8"""

    scale: float
    zero_point: int
    dtype: str = "int8"

    def __post_init__(self) -> None:
        SCALE.check("scale", self.scale)
        if self.dtype not in ("int8", "uint8"):
            raise InputError(f"dtype is {short(self.dtype)}, expected int8 or uint8")
        bounds = np.iinfo(self.dtype)
        Bounds(int(bounds.min), int(bounds.max), self.dtype).whole("zero_point", self.zero_point)

    def integers(self, numbers: Array) -> NDArray[Any]:
        """The nearest integers, those beyond the type's ends at its ends."""
        bounds = np.iinfo(self.dtype)
        whole = np.rint(numbers / np.float32(self.scale)) + self.zero_point
        found: NDArray[Any] = np.clip(whole, bounds.min, bounds.max).astype(self.dtype)
        return found

    def numbers(self, integers: NDArray[Any]) -> Array:
        """float32 numbers that integers stand for."""
        return (integers.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)

    def to_json(self) -> str:
        """A value of the metadata."""
        return json.dumps({"dtype": self.dtype, "scale": self.scale, "zero_point": self.zero_point})


@dataclass(frozen=True)
class Pixels:
    """uint8 images (N, R, R, 3), which the file prepares itself: (pixel / 255 - mean) / std."""

    mean: Triple
    std: Triple

    def pixels(self, images: Array) -> NDArray[np.uint8]:
        """The pixels (N, R, R, 3) of which prepared images (N, 3, R, R) were made."""
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        found: NDArray[np.uint8] = np.clip(np.rint((images * std + mean) * 255), 0, 255).astype(np.uint8)
        return found.transpose(0, 2, 3, 1)


@dataclass(frozen=True)
class Interface:
    """What a file takes, and what it gives; None: float32 numbers."""

    given: Quantised | Pixels | None = None
    wanted: Quantised | None = None

    def to_metadata(self) -> dict[str, str]:
        """What the metadata says of it beside the layout; nothing for float32."""
        found: dict[str, str] = {}
        if isinstance(self.given, Quantised):
            found[INPUT] = self.given.to_json()
        elif self.given is not None:
            found[INPUT] = json.dumps({"dtype": "uint8"})
            found["scale"] = IN_FILE
            found["layout"] = "NHWC"
        if self.wanted is not None:
            found[OUTPUT] = self.wanted.to_json()
        return found

    def fed(self, images: Array) -> NDArray[Any]:
        """What the file takes, of prepared images (N, 3, R, R); in NCHW, but pixels in NHWC."""
        if self.given is None:
            return images
        return self.given.pixels(images) if isinstance(self.given, Pixels) else self.given.integers(images)

    def read(self, output: NDArray[Any]) -> Array:
        """The numbers that an output of the file stands for."""
        return output if self.wanted is None else self.wanted.numbers(output)

    @property
    def dtypes(self) -> tuple[str, str]:
        """NumPy's names of the types of input and output."""
        given = "uint8" if isinstance(self.given, Pixels) else getattr(self.given, "dtype", "float32")
        return given, "float32" if self.wanted is None else self.wanted.dtype


def interface_of(metadata: Mapping[str, str], source: object) -> Interface:
    """What a file's metadata says; InputError where it is damaged."""
    given: Quantised | Pixels | None = _quantised(metadata, INPUT, source)
    if metadata.get("scale") == IN_FILE:
        facts = facts_of_metadata(metadata, source)
        if facts is None:
            raise InputError(f"{source}: damaged metadata: it lacks mean and std")
        given = Pixels(facts.mean, facts.std)
    return Interface(given, _quantised(metadata, OUTPUT, source))


def _quantised(metadata: Mapping[str, str], key: str, source: object) -> Quantised | None:
    """What a key says; None where it says nothing, or no scale."""
    if key not in metadata:
        return None
    where = f"{source}: damaged metadata: {key}"
    content = parse_object(metadata[key], where)
    if "scale" not in content:
        return None
    try:
        return Quantised(content["scale"], content.get("zero_point", 0), str(content.get("dtype")))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
