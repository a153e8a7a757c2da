"""Hostile and odd inputs, over every format: what is in circulation, and what someone could make of it."""

from __future__ import annotations

from collections.abc import Iterator

from .formats import FORMATS, KINDS
from .general import Case, binary_cases, csv_cases, json_cases


def cases() -> Iterator[Case]:
    """All of them."""
    for kind in KINDS:
        for name in getattr(kind, "CSV", ()):
            yield from csv_cases(name, FORMATS[name].name)
        for name, file in getattr(kind, "JSON", {}).items():
            yield from json_cases(name, file)
        for name, file in getattr(kind, "BINARY", {}).items():
            yield from binary_cases(name, file)
        for must, of_formats in ((True, kind.REFUSED), (False, getattr(kind, "ODD", {}))):
            for name, edits in of_formats.items():
                for what, edit in edits.items():
                    yield Case(name, what, edit, must)
