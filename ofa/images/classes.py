"""Which label a class folder has: its position, or what a file says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ofa.errors import InputError

# ImageNet's class numbers of Imagenette's ten classes
IMAGENETTE = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def class_index(path: Path, classes: Sequence[str], given: Mapping[str, int] | None) -> dict[str, int]:
    """The label of every class: its position, or what is given. InputError names those that `given` lacks."""
    if given is None:
        return {name: i for i, name in enumerate(classes)}
    unknown = [name for name in classes if name not in given]
    if unknown:
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise InputError(f"{path}: the class mapping does not know the folders {shown}")
    return {name: given[name] for name in classes}


def read_classes(path: str | os.PathLike[str]) -> dict[str, int]:
    """A mapping of class folders to labels from a file, or the built-in "imagenette" (ImageNet's numbers).

    JSON {"n01440764": 0, ...}; or text, a line a folder: "n01440764 0", or without numbers the i-th line is class i
    (ImageNet's synset lists: only a line's first word counts). Raises InputError naming the file and line.
    """
    if str(path) == "imagenette":
        return dict(IMAGENETTE)
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (or give imagenette, which is built in)")
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: not JSON: {error}") from None
        for name, label in found.items():
            if isinstance(label, bool) or not isinstance(label, int) or label < 0:
                raise InputError(f"{path}: {name} is {label!r}, expected a class number")
        return {str(name): int(label) for name, label in found.items()}
    lines = [line.split() for line in text.splitlines() if line.strip()]
    numbered = all(len(words) == 2 and words[1].isdecimal() for words in lines)
    labels: dict[str, int] = {}
    for i, words in enumerate(lines):
        if words[0] in labels:
            raise InputError(f"{path}:{i + 1}: {words[0]} is listed twice")
        labels[words[0]] = int(words[1]) if numbered else i
    if not labels:
        raise InputError(f"{path}: no class")
    return labels
