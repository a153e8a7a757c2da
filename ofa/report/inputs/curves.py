"""Metrics of a training or a fine-tuning, epoch by epoch, from metrics.jsonl and what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import PERCENT, Bounds
from ofa.reading.structured import content_of, parse_object
from ofa.report.inputs.files import RunFile, beside
from ofa.report.inputs.values import number_of, number_or_none, text_of

EPOCH, LOSS = Bounds(1, 1e7, "epochs"), Bounds(-1e9, 1e9, "nats")
CHECKED = re.compile(r"([a-z][a-z0-9_-]{0,30})_(top1|loss)")
MOST_EPOCHS = 100_000


@dataclass(frozen=True)
class Curve:
    """One line of a plot: (epoch of the run, value). name: whose, such as "training" or "largest"."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TrainingRun:
    """stages: (name, epochs of the run before it); top1, loss: curves; settings: run.json; end: of a fine-tuning"""

    path: Path
    epochs: int
    stages: tuple[tuple[str, int], ...]
    top1: tuple[Curve, ...]
    loss: tuple[Curve, ...]
    settings: Mapping[str, Any]
    end: Mapping[str, Any]

    @property
    def is_finetuning(self) -> bool:
        return any(curve.name == "val" for curve in self.top1)


def read_training(file: RunFile) -> TrainingRun:
    """InputError names file, line and field of what is not as a training writes it."""
    stages: list[tuple[str, int]] = []
    found: dict[str, dict[str, list[tuple[int, float]]]] = {"top1": {}, "loss": {}}
    lines = content_of(file.path).splitlines()
    if len(lines) > MOST_EPOCHS:
        raise InputError(f"{file.path}: {len(lines):,} epochs, more than a training has")
    for number, data in enumerate(lines, 1):
        where = f"{file.path}:{number}"
        line = parse_object(data, where)
        number_of(line, "epoch", EPOCH, where)  # of its stage; lines are in the order of the run
        stage = text_of(line, "stage", where)
        if stage and (not stages or stages[-1][0] != stage):
            stages.append((stage, number - 1))
        for key in line:
            if match := CHECKED.fullmatch(key):
                bounds = PERCENT if match[2] == "top1" else LOSS
                value = number_or_none(line, key, bounds, where)
                if value is not None:
                    found[match[2]].setdefault(match[1], []).append((number, value))
    return TrainingRun(
        path=file.path,
        epochs=len(lines),
        stages=tuple(stages),
        top1=_curves(found["top1"]),
        loss=_curves(found["loss"]),
        settings=beside(file.path, "run.json"),
        end=beside(file.path, "result.json"),
    )


def _curves(found: Mapping[str, list[tuple[int, float]]]) -> tuple[Curve, ...]:
    """Held-out ones first, in the order that they appear in; the training's own last."""
    named = sorted(found.items(), key=lambda item: item[0] == "train")
    return tuple(Curve(name, tuple(points)) for name, points in named)
