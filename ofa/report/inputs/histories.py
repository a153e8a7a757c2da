"""Devices against their own earlier tables, by profilers.lab.history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ofa.errors import InputError
from ofa.reading.numbers import Bounds, short
from ofa.report.inputs.files import RunFile
from ofa.report.inputs.values import ANYTHING, number_of, number_or_none, object_of, objects_of, plain, text_of

ERAS = Bounds(0, 10**6, "eras")
BLOCKS = Bounds(0, 10**9, "blocks")
EFFECT = Bounds(1e-6, 1e6, "per cent")


@dataclass(frozen=True)
class HistoryNight:
    """One table. when: with its time zone, UTC where it states none

    level_pct: of all blocks, above the first tables of its era; None of the first itself
    """

    when: datetime
    era: int
    state: str
    level_pct: float | None
    error_pct: float | None
    changed: int
    blocks: int


@dataclass(frozen=True)
class DeviceHistory:
    """effect_pct: the largest change that did not matter

    aside: why the last table is not like those before it; "" where it is
    """

    device: str
    device_id: str
    settings: Mapping[str, str]
    nights: tuple[HistoryNight, ...]
    events: tuple[str, ...]
    aside: str
    effect_pct: float


def read_histories(file: RunFile) -> list[DeviceHistory]:
    """InputError names file and field of what is not as profilers.lab.history writes it."""
    found = []
    for where, history in objects_of(file.content, "history", file.path):
        settings = object_of(history, "settings", where)
        events = history.get("events") or []
        if not isinstance(events, list):
            raise InputError(f"{where}: events is {short(events)}, expected a list")
        nights = tuple(
            HistoryNight(
                when=_when(text_of(night, "when", place), place),
                era=int(number_of(night, "era", ERAS, place)),
                state=text_of(night, "state", place),
                level_pct=number_or_none(night, "level_pct", ANYTHING, place),
                error_pct=number_or_none(night, "error_pct", ANYTHING, place),
                changed=int(number_of(night, "changed", BLOCKS, place)),
                blocks=int(number_of(night, "blocks", BLOCKS, place)),
            )
            for place, night in objects_of(history, "nights", where)
        )
        if not nights:
            raise InputError(f"{where}: nights is empty, expected the device's tables")
        found.append(
            DeviceHistory(
                device=text_of(history, "device", where),
                device_id=text_of(history, "device_id", where),
                settings={plain(key): text_of(settings, key, f"{where}: settings") for key in settings},
                nights=nights,
                events=tuple(map(plain, events)),
                aside=text_of(history, "aside", where),
                effect_pct=number_of(history, "effect_pct", EFFECT, where),
            )
        )
    return found


def _when(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: when is {short(text)}, expected a date such as 2026-11-27") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
