"""Values of files that others may have edited: text that can be shown, numbers within bounds, by name where wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InputError
from ofa.images.files.names import shown
from ofa.reading.numbers import Bounds, cut, short
from ofa.reading.structured import as_object

LONGEST = 600  # characters of a text that is shown
ANYTHING = Bounds(-1e12, 1e12, "whatever")


def plain(text: object, longest: int = LONGEST) -> str:
    """A text on one line, what steers a terminal or turns the direction escaped; the page escapes it for HTML."""
    return cut(shown(str(text)), longest)


def text_of(fields: Mapping[str, Any], key: str, where: object, default: str = "") -> str:
    """A text of an object; InputError where it is something else."""
    value = fields.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} is {short(value)}, expected a text")
    return plain(value)


def number_of(fields: Mapping[str, Any], key: str, bounds: Bounds, where: object) -> float:
    """A number of an object; InputError where it is missing, something else or out of bounds."""
    if fields.get(key) is None:
        raise InputError(f"{where}: {key} is missing, expected {bounds}")
    return float(bounds.check(f"{where}: {key}", fields[key]))


def number_or_none(fields: Mapping[str, Any], key: str, bounds: Bounds, where: object) -> float | None:
    """As `number_of`; None where it is missing or null."""
    return None if fields.get(key) is None else number_of(fields, key, bounds, where)


def object_of(fields: Mapping[str, Any], key: str, where: object) -> dict[str, Any]:
    """An object of an object, {} where it is missing or null; InputError where it is something else."""
    value = fields.get(key)
    return {} if value is None else as_object(value, f"{where}: {key}")


def objects_of(fields: Mapping[str, Any], key: str, where: object) -> Sequence[tuple[str, dict[str, Any]]]:
    """(where it stands, the object) of every item of a list; none where the list is missing or null."""
    value = fields.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"{where}: {key} is {short(value)}, expected a list")
    places = [f"{where}: {key}[{i}]" for i in range(len(value))]
    return [(place, as_object(item, place)) for place, item in zip(places, value, strict=True)]
