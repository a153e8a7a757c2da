"""What ofa.evaluate counted: the accuracy of networks, and which classes they take for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.reading.numbers import COUNT, PERCENT, Bounds
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.values import number_of, number_or_none, object_of, objects_of, plain, text_of

IMAGES = Bounds(0, 1e9, "images")
MOST_NETWORKS = 40


@dataclass(frozen=True)
class EvaluatedRow:
    """One network of an evaluation.

    subnet: its fields, as in the file; {} for a specialised network
    confusion: {true class: {predicted class: images}}
    """

    name: str
    resolution: int
    subnet: Mapping[str, Any]
    images: int
    top1: float
    predicted_top1: float | None
    confusion: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class EvaluationRun:
    """classes: how many there are; marks: what keeps the figures from being plain"""

    path: Path
    checkpoint: str
    data: str
    split: str
    classes: int
    marks: tuple[str, ...]
    settings: Mapping[str, Any]
    networks: tuple[EvaluatedRow, ...]


def read_evaluation(file: RunFile) -> EvaluationRun:
    """InputError names file and field of what is not as ofa.evaluate writes it."""
    path, content = file.path, file.content
    marks = content.get("marks")
    return EvaluationRun(
        path=path,
        checkpoint=text_of(content, "checkpoint", path),
        data=text_of(content, "data", path),
        split=text_of(content, "split", path),
        classes=len(set(map(str, object_of(content, "class_index", path).values()))),
        marks=tuple(plain(mark) for mark in marks) if isinstance(marks, list) else (),
        settings=object_of(content, "settings", path),
        networks=tuple(_row(fields, where) for where, fields in objects_of(content, "results", path)[:MOST_NETWORKS]),
    )


def _row(fields: Mapping[str, Any], where: str) -> EvaluatedRow:
    confusion = object_of(fields, "confusion", where)
    return EvaluatedRow(
        name=text_of(fields, "name", where),
        resolution=int(number_of(fields, "resolution", COUNT, where)),
        subnet=object_of(fields, "subnet", where),
        images=int(number_of(fields, "images", COUNT, where)),
        top1=number_of(fields, "top1", PERCENT, where),
        predicted_top1=number_or_none(fields, "predicted_top1", Bounds(-100, 200, "per cent"), where),
        confusion={
            plain(true): _counts(object_of(confusion, true, f"{where}: confusion"), f"{where}: confusion: {true!a}")
            for true in confusion
        },
    )


def _counts(row: Mapping[str, Any], where: str) -> dict[str, int]:
    return {plain(name): IMAGES.whole(f"{where}: {name!a}", count) for name, count in row.items()}
