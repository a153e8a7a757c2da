"""The class names of a model file, in the order of its logits: read from a file, or as the checkpoint knows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.images.files.names import composed, shown
from ofa.reading.numbers import short
from ofa.reading.structured import content_of, parse_json


def read_stored_labels(checkpoint: Path, known: ImageFacts) -> Sequence[str]:
    """The class names that a model exported before was given, else those of its training; none if neither is known."""
    from ofa.checkpoints.tensors import read_metadata  # loads torch, which those who only read labels need not

    stored = "" if checkpoint.is_dir() else read_metadata(checkpoint).get("labels", "")
    return stored.split("\n") if stored else known.classes


def read_labels(path: Path, num_classes: int) -> list[str]:
    """The class names, in the order of the logits: one a line, a JSON list, or {"0": ["n01440764", "tench"], ...}.

    Raises InputError where the file cannot be read, or their number is not the network's class count.
    """
    try:
        text = content_of(path).decode("utf-8-sig")
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
            raise InputError(f"{path}: label {i} is {short(label)}, expected text")
    return flat
