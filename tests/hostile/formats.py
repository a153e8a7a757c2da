"""Every format that a command reads: for the corpus, the fuzzers of `make test` and benchmarks/reliability/fuzz.py."""

from __future__ import annotations

from types import ModuleType

from .format import Format
from .inputs import (
    accuracies,
    agents,
    images,
    journals,
    networks,
    predictors,
    published,
    reports,
    settings,
    subnets,
    tables,
    weights,
)

# a module is of one kind of file: FORMATS, REFUSED (edits after which it must be refused), and where there are such:
# ODD (edits after which it may be read, as long as it is read soundly), CSV, and the files that are JSON or BINARY
KINDS: tuple[ModuleType, ...] = (
    tables, accuracies, predictors, subnets, weights, networks, journals, settings, published, agents, images, reports
)  # fmt: skip
FORMATS: dict[str, Format] = {name: form for kind in KINDS for name, form in kind.FORMATS.items()}
