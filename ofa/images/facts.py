"""What a network knows of the images it was trained on: part of every file of ours that holds weights.

From training to an exported model and back it is one value, written by `to_dict` and read by `from_dict`. What a file
does not say is unknown, never assumed here.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os.path import commonpath
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError
from ofa.images.content import ContentSample
from ofa.images.files.names import shown
from ofa.reading.numbers import Bounds, short
from ofa.reading.structured import parse_json, parse_object

if TYPE_CHECKING:
    from ofa.images.files.folder import ImageFolder

SAMPLED = 16  # images whose content is part of a data set's identity
MOST_CONTENTS = 4  # trainings, one after the other, whose images a network remembers
CROP_RATIO = 0.875
MOST_NORMALISED = 1e6  # of mean and std, whose pixels are 0 to 1, or 0 to 255
PIXELS_OF_IMAGES = Bounds(1, 4096, "pixels")
SHARE = Bounds(1e-9, 1, "a share")
COUNTED = Bounds(0, 2**63, "images, or a seed")
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class DataIdentity:
    """Which images a data set holds: enough to recognise it under another path, in a zip or out of it.

    name: of the folder or zip, for messages
    images: how many
    names_sha256: of their names in order, below the folders that all have in common
    sample_sha256: of the content of 16 of them, evenly spread: other data sets may have the same names
    """

    name: str
    images: int
    names_sha256: str
    sample_sha256: str

    def same_images(self, other: DataIdentity) -> bool:
        """Whether both are the same images; what they are called is no matter."""
        return replace(self, name="") == replace(other, name="")


@dataclass(frozen=True)
class HeldOut:
    """The images of the data set that were never trained on.

    count: how many; seed: of the choice; sha256: of their names, as of `names_sha256`
    """

    count: int
    seed: int
    sha256: str


@dataclass(frozen=True)
class ImageFacts:
    """How images are prepared for a network, what its logits stand for, and what it was trained on.

    mean, std: of (red, green, blue) in 0 to 1: input = (pixel / 255 - mean) / std
    crop_ratio: the shorter side is resized to resolution / crop_ratio, then the centre is cut out
    classes: their names, in the order of the logits; empty: not known
    resolution: side of the images that the network is made for, pixels; None: any (a supernet), or not known
    smallest_crop: least part of an image that a training crop took; None: not known
    trained_on, held_out: None: not known
    contents: some of the images that were trained on, by content; of this training first, then of those before it
    marks: what was done against the advice of the commands, such as "calibrated with 8 images"
    """

    mean: Triple
    std: Triple
    crop_ratio: float = CROP_RATIO
    classes: tuple[str, ...] = ()
    resolution: int | None = None
    smallest_crop: float | None = None
    trained_on: DataIdentity | None = None
    held_out: HeldOut | None = None
    contents: tuple[ContentSample, ...] = ()
    marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(_is_number(v) and abs(v) <= MOST_NORMALISED for v in values):
                raise InputError(f"{name} is {short(values)}, expected three numbers")
        if min(self.std) <= 0:
            raise InputError(f"std is {short(self.std)}, expected more than 0")
        if self.resolution is not None:
            PIXELS_OF_IMAGES.whole("resolution", self.resolution)
        if self.smallest_crop is not None:
            SHARE.check("smallest_crop", self.smallest_crop)
        if self.crop_ratio != CROP_RATIO:
            raise InputError(f"crop_ratio is {short(self.crop_ratio)}, but images are prepared with {CROP_RATIO}")
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise InputError(f"two classes are called {shown(twice)}")

    def marked(self, *marks: str | None) -> ImageFacts:
        """With these marks too; None is none."""
        return replace(self, marks=tuple(dict.fromkeys([*self.marks, *(mark for mark in marks if mark)])))

    def after(self, before: ImageFacts | None) -> ImageFacts:
        """Of a network whose training went on from another, which had seen images too."""
        earlier = () if before is None else before.contents
        return replace(self, contents=tuple(dict.fromkeys([*self.contents, *earlier]))[:MOST_CONTENTS])

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without what is not known, and without `contents`: these are for files that hold weights."""
        found: dict[str, Any] = {
            "mean": list(self.mean),
            "std": list(self.std),
            "crop_ratio": self.crop_ratio,
            "classes": list(self.classes) or None,
            "resolution": self.resolution,
            "smallest_crop": self.smallest_crop,
            "trained_on": None if self.trained_on is None else vars(self.trained_on),
            "held_out": None if self.held_out is None else vars(self.held_out),
            "marks": list(self.marks) or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    def to_json(self) -> str:
        """For the metadata of a file that holds weights, which is text."""
        contents = [sample.to_dict() for sample in self.contents]
        return json.dumps({**self.to_dict(), **({"contents": contents} if contents else {})})

    @classmethod
    def from_dict(cls, content: Any, source: object) -> ImageFacts:
        """Reads `to_dict`'s form, or `to_json`'s; InputError names the source and what is wrong in it."""
        if not isinstance(content, dict):
            raise InputError(f"{source}: its description of its images is {short(content)}, expected an object")
        try:
            known = {
                field: content[field] for field in ("crop_ratio", "resolution", "smallest_crop") if field in content
            }
            trained_on, held_out = content.get("trained_on"), content.get("held_out")
            return cls(
                mean=_triple(content["mean"]),
                std=_triple(content["std"]),
                classes=_texts(content.get("classes", [])),
                trained_on=None if trained_on is None else DataIdentity(**_of_kinds(DataIdentity, trained_on)),
                held_out=None if held_out is None else HeldOut(**_of_kinds(HeldOut, held_out)),
                contents=tuple(ContentSample.from_dict(sample) for sample in content.get("contents", [])),
                marks=_texts(content.get("marks", [])),
                **known,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{source}: its description of its images is damaged: {short(error)}") from None
        except InputError as error:
            raise InputError(f"{source}: its description of its images is damaged: {error}") from None


def data_identity(folder: ImageFolder) -> DataIdentity:
    """The identity of a folder's images, those of the chosen split. Reads the files of 16 of them."""
    content = hashlib.sha256()
    count = min(SAMPLED, len(folder))
    for n in range(count):
        try:
            encoded = folder.read(n * len(folder) // count)
        except Exception as error:  # whatever a damaged file provokes: those who decode it will name it
            encoded = type(error).__name__.encode()
        content.update(hashlib.sha256(encoded).digest())
    names = names_sha256(folder, range(len(folder)))
    return DataIdentity(folder.path.name, len(folder), names, content.hexdigest())


def names_sha256(folder: ImageFolder, indices: Sequence[int]) -> str:
    """SHA-256 of the names of some images, below the folders that all of the folder's images have in common."""
    start = len(_common(folder.names))
    return hashlib.sha256(
        "\n".join(folder.names[i][start:] for i in indices).encode(errors="surrogateescape")
    ).hexdigest()


def _common(names: Sequence[str]) -> str:
    """The folders, with a slash behind them, that all names begin with."""
    # sorted names: what the first and the last share, all share
    first, last = (name.rpartition("/")[0] for name in (min(names), max(names)))
    shared = commonpath([first, last]) if first and last else ""
    return f"{shared}/" if shared else ""


def _of_kinds(of: type, stated: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields, which are texts and whole numbers, each of its kind; what is missing or more, the class refuses."""
    kinds = {field.name: field.type for field in fields(of)}
    for name, value in stated.items():
        if type(value).__name__ != kinds.get(name, type(value).__name__):
            raise InputError(f"{short(name)} is {short(value)}, expected {kinds[name]}")
        if isinstance(value, int):
            COUNTED.whole(name, value)
    return stated


def _triple(values: Any) -> Triple:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 3:
        raise InputError(f"expected three numbers, not {short(values)}")
    return (values[0], values[1], values[2])


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"expected a list of texts, not {short(values)}")
    return tuple(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def facts_of_metadata(metadata: Mapping[str, str], source: object) -> ImageFacts | None:
    """What the metadata of a file says of its images, of older files of ours too; None where it says nothing.

    Raises InputError where it is damaged, or asks for what this version does not do.
    """
    where = f"{source}: damaged metadata"
    if "images" in metadata:
        return ImageFacts.from_dict(parse_object(metadata["images"], where), source)
    if "training" in metadata:  # supernets before facts were a value of their own
        facts = parse_object(metadata["training"], where)
        if {"mean", "std"} <= set(facts):
            kept = {key: facts[key] for key in ("mean", "std", "classes") if key in facts}
            return ImageFacts.from_dict(kept, source)
    if {"mean", "std"} <= set(metadata):  # exported models before
        known: dict[str, Any] = {
            key: parse_json(metadata[key], where) for key in ("mean", "std", "crop_ratio") if key in metadata
        }
        labels = metadata.get("labels", "").split("\n")
        if labels[0] and len(set(labels)) == len(labels):
            known["classes"] = labels
        return ImageFacts.from_dict(known, source)
    return None
