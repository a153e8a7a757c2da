"""A predictor's two files: tensors (.safetensors), and what is known of them (.json next to it)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.prediction import Uncertainty
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import PERCENT, PIXELS, Bounds, cut, short
from ofa.reading.structured import as_object, content_of, read_json
from ofa.runs.files import replace_file
from ofa.space import SearchSpace
from ofa.space.description import HASH, recorded_space, require_same, space_sha256
from ofa.space.resolutions import MOST_RESOLUTION
from ofa.space.space import MOST_CHOICES

SPREAD = Bounds(0, 1e6, "times")


def choices_of(space: SearchSpace) -> dict[str, Any]:
    """What two spaces must share for one predictor to serve both."""
    return {
        "family": space.family,
        "width_choices": list(space.width_choices),
        "kernel_choices": list(space.kernel_choices),
        "expand_choices": list(space.expand_choices),
        "depth_choices": [list(unit.depth_choices) for unit in space.units],
    }


def require_space(path: Path, header: Mapping[str, Any], space: SearchSpace) -> None:
    """InputError where the predictor of that header was made for another space."""
    made_for, choices = cut(header["space"]), as_object(header["choices"], "choices")
    if choices != choices_of(space):
        differ = [key for key, value in choices_of(space).items() if choices.get(key) != value]
        raise InputError(f"predictor {path} is for {made_for}, not {space.name} (they differ in {', '.join(differ)})")
    if header.get(HASH) not in (None, space_sha256(space)):  # those from before there were descriptions have none
        require_same(space, recorded_space(header, path), f"predictor {path}")


def uncertainty_in(header: Mapping[str, Any]) -> Uncertainty | None:
    """What a header says of it, each figure checked."""
    stated = header["uncertainty"]
    if stated is None:
        return None
    noise, scale, interpolation = stated["noise"], stated["scale"], stated.get("interpolation", 0.0)
    if unknown := set(stated) - {"noise", "scale", "interpolation"}:
        raise InputError(f"uncertainty has unknown fields {short(sorted(unknown))}")
    return Uncertainty(
        tuple(PERCENT.check("noise", n) for n in noise),
        SPREAD.check("scale", scale),
        PERCENT.check("interpolation", interpolation),
    )


def resolutions_stated(header: Mapping[str, Any]) -> list[int]:
    """The resolutions that a header names; ValueError unless they ascend."""
    resolutions = [PIXELS.whole("resolution", r) for r in header["resolutions"][: MOST_RESOLUTION + 1]]
    # their indices are kept in bytes
    if not 0 < len(resolutions) <= MOST_CHOICES or resolutions != sorted(set(resolutions)):
        raise ValueError(f"resolutions {short(resolutions)}")
    return resolutions


def write_files(path: Path, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes both; each appears whole or not at all."""
    import safetensors.numpy

    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a predictor is saved as .safetensors, with its .json next to it")
    data = safetensors.numpy.save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    text = json.dumps({**header, "sha256": hashlib.sha256(data).hexdigest()}, indent=1, allow_nan=False) + "\n"
    for target, content in ((path, data), (path.with_suffix(".json"), text.encode())):
        replace_file(target, partial(_write, content))


def _write(content: bytes, temporary: Path) -> None:
    temporary.write_bytes(content)


def read_files(path: Path, schemas: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and tensors, checked to belong together and to be of one of the schemas."""
    import safetensors
    import safetensors.numpy

    refuse_endless(path)
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise InputError(f"{path}: its header {beside.name} is not next to it")
    header = read_json(beside)
    if header.get("schema") not in schemas:
        raise InputError(
            f"{beside}: schema is {short(header.get('schema'))}, expected {' or '.join(map(repr, schemas))}"
        )
    data = content_of(path)
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a safetensors file: {cut(error, 200)}") from None
    if hashlib.sha256(data).hexdigest() != header.get("sha256"):
        raise InputError(f"{path}: its sha256 is not the one in {beside.name}: damaged, or not of one fit; fit again")
    return header, tensors


def stated_space(path: Path) -> SearchSpace:
    """The space that the header of a predictor names; InputError where there is none, as beside MIT's files."""
    beside = path.with_suffix(".json")
    if path.suffix != ".safetensors" or not beside.is_file():
        raise InputError(f"{path} does not say which space it is of: give --space")
    return recorded_space(read_json(beside), beside)
