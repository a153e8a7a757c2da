"""Any space by its name, or by the file of its description.

The three families of the original are descriptions too (`descriptions/`), of which a name gives the width.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import cut, short
from ofa.reading.structured import read_toml
from ofa.space.described import described_space, read_space
from ofa.space.parts import Label
from ofa.space.resolutions import RESOLUTIONS
from ofa.space.space import SearchSpace

_FOLDER = Path(__file__).with_name("descriptions")
_NAMES = ("mbv3-w<width>", "proxyless-w<width>", "resnet50d")
# what each has been called in checkpoints and predictors from the beginning
_LABELS: dict[str, Label] = {"mbv3": "mobilenet_v3", "proxyless": "proxyless_nas", "resnet50d": "resnet50d"}


def get_space(name: str, num_classes: int = 1000, width_mults: Iterable[float] | None = None) -> SearchSpace:
    """The search space of that name, or of the description in that file, whose name ends in .toml.

    Names: "mbv3-w1.0", "mbv3-w1.2", "proxyless-w1.3", any other width, "resnet50d".
    `width_mults` replaces ResNet50D's elastic widths (0.65, 0.8, 1.0). Raises InputError for an unknown name, and for
    a description with all that is wrong with it.
    """
    if (path := space_file(name)) is not None:
        if width_mults is not None:
            raise InputError(f"{path} states its widths: width_mults is for resnet50d")
        return read_space(path, num_classes)
    if name == "resnet50d":
        widths = None if width_mults is None else tuple(sorted(set(width_mults)))
        if widths is not None and (not widths or any(not math.isfinite(w) or not 0 < w <= 4 for w in widths)):
            raise InputError(f"width_mults is {short(widths)}, expected positive numbers up to 4")
        return _member("resnet50d", name, widths, num_classes)
    match = re.fullmatch(r"(mbv3|proxyless)-w([0-9]{1,9}(?:\.[0-9]{1,9})?)", name)
    width = float(match.group(2)) if match else 0.0
    if match is None or not 0.05 <= width <= 4:
        raise InputError(
            f"unknown space {short(name)}, expected one of {', '.join(_NAMES)} (width 0.05 to 4), or a file that "
            f"describes one and ends in .toml{_if_network(name)}"
        )
    if width_mults is not None:
        raise InputError(f"{name} has one width, in its name: width_mults is for resnet50d")
    return _member(match.group(1), name, (width,), num_classes)


def _if_network(name: str) -> str:
    """Where a name may be meant as a single network's: what can be done with that. Its names are not known here."""
    if not name or not (re.search(r"net|\.json$", name, re.IGNORECASE) and name.isprintable()):
        return ""
    costs = f"ofa costs {shlex.quote(cut(name))}"
    return (
        f"; a single network is no space: `{costs}` lists its blocks, and profilers.validate with --also times it "
        "beside a table's networks"
    )


def label_of(name: str) -> Label:
    """What a space of ours has been called in files from the beginning; "own" for the name of any other."""
    return _LABELS.get(name.partition("-w")[0], "own")


def space_file(name: str) -> Path | None:
    """The file that a space is named by; None where it is named by a name."""
    return Path(name) if name.lower().endswith(".toml") else None


def default_resolutions(name: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Those that a description's file says, `usual` where it says none, or where the space has a name of ours."""
    path = space_file(name)
    stated = RESOLUTIONS if path is None else read_space(path).resolutions
    return usual if stated == RESOLUTIONS else stated


@lru_cache(maxsize=256)
def _member(family: str, name: str, widths: tuple[float, ...] | None, num_classes: int) -> SearchSpace:
    """A family's description at other widths."""
    content: dict[str, Any] = {**_description(family), "name": name}
    if widths is not None:
        content["widths"] = list(widths)
    space = described_space(content, family, num_classes, any_name=True)
    return replace(space, family=_LABELS[family])


@lru_cache
def _description(family: str) -> dict[str, Any]:
    return read_toml(_FOLDER / f"{family}.toml")
