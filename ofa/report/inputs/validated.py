"""Whole networks beside the sums of their blocks, by profilers.validate: TABLE.validation.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.reading.numbers import MILLISECONDS
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.values import ANYTHING, number_of, number_or_none, object_of, objects_of, text_of


@dataclass(frozen=True)
class ValidationRun:
    """times: (measured ms, predicted ms, whether it is scored, or fitted the correction) of each network"""

    path: Path
    table: str
    device: str
    runtime: str
    when: str
    command: str
    scores: Mapping[str, float | None]
    noise_pct: float | None
    times: tuple[tuple[float, float, bool], ...]


def read_validation(file: RunFile) -> ValidationRun:
    """InputError names file and field of what is not as profilers.validate writes it."""
    path, content = file.path, file.content
    scores: Mapping[str, Any] = object_of(content, "scores", path)
    return ValidationRun(
        path=path,
        table=text_of(content, "table", path).removesuffix(".csv"),
        device=text_of(content, "device", path),
        runtime=text_of(content, "runtime", path),
        when=text_of(content, "when", path),
        command=text_of(content, "command", path),
        scores={key: number_or_none(scores, key, ANYTHING, f"{path}: scores") for key in scores},
        noise_pct=number_or_none(content, "noise_pct_of_variance", ANYTHING, path),
        times=tuple(
            (
                number_of(network, "measured_ms", MILLISECONDS, where),
                number_of(network, "predicted_ms", MILLISECONDS, where),
                network.get("scored") is not False,
            )
            for where, network in objects_of(content, "networks", path)
        ),
    )
