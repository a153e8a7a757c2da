"""Which label a class folder has: its position, or what a file says."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.images.files.names import composed, shown
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import Bounds, short
from ofa.reading.structured import content_of, parse_object

if TYPE_CHECKING:
    from ofa.images.files.folder import ImageFolder

CLASS = Bounds(0, 999_999, "a class")
# ImageNet's class numbers of Imagenette's ten classes
IMAGENETTE = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497,
    "n03394916": 566, "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip


def class_index(path: Path, classes: Sequence[str], given: Mapping[str, int] | None) -> dict[str, int]:
    """The label of every class: its position, or what is given. InputError names those that `given` lacks."""
    if given is None:
        return {name: i for i, name in enumerate(classes)}
    given = {composed(shown(name)): label for name, label in given.items()}  # as folders spell their classes
    unknown = [name for name in classes if name not in given]
    if unknown:
        some = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise InputError(f"{path}: the class mapping does not know the folders {some}")
    return {name: given[name] for name in classes}


def read_classes(path: str | os.PathLike[str]) -> dict[str, int]:
    """A mapping of class folders to labels from a file, or the built-in "imagenette" (ImageNet's numbers).

    JSON {"n01440764": 0, ...}; or text, a line a folder: "n01440764 0", or without numbers the i-th line is class i
    (ImageNet's synset lists: only a line's first word counts). Raises InputError naming the file and line.
    """
    if str(path) == "imagenette":
        return dict(IMAGENETTE)
    path = Path(path)
    refuse_endless(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (or give imagenette, which is built in)")
    try:
        text = content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8: save it as UTF-8") from None
    if text.lstrip().startswith("{"):
        found = parse_object(text, path)
        for name, label in found.items():
            CLASS.whole(f"{path}: {short(name)}", label)
        return found
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbered = all(len(words) >= 2 and words[-1].isdecimal() for _, words in lines)  # of any script: then refused
    labels: dict[str, int] = {}
    for i, (number, words) in enumerate(lines):
        if not numbered and len(words) == 2 and re.fullmatch(r"[+-]?\d+", words[1]):
            raise InputError(
                f"{path}:{number}: {short(words[0])} is given the number {short(words[1])}, but not all lines have "
                "a class number, from 0: number all of them, or none"
            )
        name = " ".join(words[:-1]) if numbered else words[0]
        if name in labels:
            raise InputError(f"{path}:{number}: {short(name)} is listed twice")
        labels[name] = CLASS.integer(f"{path}:{number}: the number of {short(name)}", words[-1]) if numbered else i
    if not labels:
        raise InputError(f"{path}: no class")
    return labels


def matched(
    folder: ImageFolder,
    known: ImageFacts | None,
    num_classes: int,
    mapping: Mapping[str, int] | None = None,
    *,
    source: object,
) -> tuple[ImageFolder, str | None]:
    """The folder with the labels that a network's logits have, and a line on classes that it lacks.

    known: what the network's file, `source`, knows; classes are matched by their names, where they have names there
    mapping: the label of every class folder, which goes before the names
    Without either, the i-th class in sorted order is logit i, if there are as many.
    Raises InputError, naming the first class folder that fits none, and the way out.
    """
    if not folder.labelled:
        raise InputError(f"{folder.path} has no class folders: there is nothing to compare with")
    names = () if known is None else known.classes
    line = None
    if mapping is not None:
        index = class_index(folder.path, folder.classes, mapping)
    elif names:
        index = _by_name(folder, names, source)
        used = {index[name] for name in folder.classes} - {index[name] for name in folder.empty_classes()}
        absent = [shown(name) for i, name in enumerate(names) if i not in used]
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            line = f"{folder.called} lacks {len(absent)} of {len(names)} classes: {', '.join(absent[:5])}{more}"
    elif len(folder.classes) != num_classes:
        raise InputError(
            f"{folder.path} has {len(folder.classes)} class folders, but the network {num_classes} classes: give "
            "--classes FILE with the number of each folder (--classes imagenette is built in)"
        )
    else:
        index = {name: i for i, name in enumerate(folder.classes)}
    name, largest = max(index.items(), key=lambda item: item[1])
    if largest >= num_classes:
        raise InputError(
            f"class folder {shown(name)} is class {largest}, but the network has {num_classes} classes, from 0"
        )
    return relabelled(folder, index), line


def class_numbers(
    folder: ImageFolder, num_classes: int, known: ImageFacts | None, labels: Sequence[str], source: Path
) -> tuple[list[int] | None, str | None]:
    """The logit of every class of the folder, in its order, None where that cannot be known; and why, or what lacks.

    By the class names that the checkpoint, `source`, knows. Where it knows none: by the labels whose first word a class
    folder is; by order, where there are as many folders as classes; for ImageNet's 1000 classes Imagenette's ten are
    known.
    """
    if not folder.labelled:
        return None, None
    if known is not None and known.classes:
        try:
            named, line = matched(folder, known, num_classes, source=source)
        except InputError as error:
            return None, f"accuracy is not known: {error}".split(": give --classes")[0]
        return [named.class_index[name] for name in folder.classes], line
    words = {word: i for i, label in enumerate(labels) for word in (label, label.split()[0].rstrip(","))}
    if labels and all(name in words for name in folder.classes):
        return [words[name] for name in folder.classes], None
    if len(folder.classes) == num_classes:
        return list(range(num_classes)), None
    if num_classes == 1000 and all(name in IMAGENETTE for name in folder.classes):
        return [IMAGENETTE[name] for name in folder.classes], None
    return None, None


def relabelled(folder: ImageFolder, index: Mapping[str, int]) -> ImageFolder:
    """The same images, the label of every class as `index` has it."""
    now = {folder.class_index[name]: index[name] for name in folder.classes}
    other = copy.copy(folder)
    other.class_index = {name: index[name] for name in folder.classes}
    other.labels = tuple(now[label] for label in folder.labels)
    return other


def _by_name(folder: ImageFolder, names: Sequence[str], source: object) -> dict[str, int]:
    """The label of every class folder, by its name among `names`, or by the synset that a name begins with."""
    # zips and disks of Macs have "é" as two characters
    numbers = {composed(name): i for i, name in enumerate(names)}
    synsets = {m[0]: i for i, name in enumerate(names) if (m := re.match(r"n\d{8}(?=[\s,])", name))}
    index = {}
    for name in folder.classes:
        label = numbers.get(composed(name), synsets.get(name))
        if label is None:
            some = ", ".join(shown(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"{folder.path}: class folder {shown(name)} is none of the {len(names)} classes of {source} ({some}): "
                "give --classes FILE with the number of each folder"
            )
        index[name] = label
    return index
