"""Networks that others published, as profilers.baselines measured them on a table's device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.reading.numbers import MILLISECONDS, PERCENT
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.values import number_of, object_of, objects_of, text_of


@dataclass(frozen=True)
class ReferenceNetwork:
    """One published network under one recipe.

    label: its name on a plot; recipe: whose training the accuracy is of, such as "paper" or "timm"
    """

    name: str
    label: str
    recipe: str
    top1: float
    latency_ms: float


@dataclass(frozen=True)
class ReferenceRun:
    path: Path
    table: str
    device: str
    runtime: str
    when: str
    command: str
    networks: tuple[ReferenceNetwork, ...]


def read_references(file: RunFile) -> ReferenceRun:
    """InputError names file and field of what is not as profilers.baselines writes it."""
    path, content = file.path, file.content
    networks = [
        network for where, fields in objects_of(content, "baselines", path) for network in _recipes(fields, where)
    ]
    return ReferenceRun(
        path=path,
        table=text_of(content, "table", path).removesuffix(".csv"),
        device=text_of(content, "device", path),
        runtime=text_of(content, "runtime", path),
        when=text_of(content, "when", path),
        command=text_of(content, "command", path),
        networks=tuple(networks),
    )


def _recipes(fields: Mapping[str, Any], where: str) -> Iterator[ReferenceNetwork]:
    """One for each published accuracy."""
    name = text_of(fields, "name", where)
    latency = number_of(fields, "latency_ms", MILLISECONDS, where)
    published = object_of(fields, "published", where)
    for recipe in published:
        top1 = number_of(published, recipe, PERCENT, f"{where}: published")
        yield ReferenceNetwork(name, name, recipe, top1, latency)
