"""The tables of one device, night after night: when it drifted, by how much, and what came with another version.

A device's tables are of one series where they were measured alike, whatever the versions. In a series, an era lasts as
long as runtime, system and this program stay the same: between eras a difference is the versions', and no drift. Within
an era every table is compared with the era's baseline, its first MOST_TABLES that had not changed, by the statistics of
`profilers.changes.change`. The baseline does not follow the device, so that a slow drift adds up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.reading.kinds import TABLE, kind_of
from ofa.reading.numbers import short
from ofa.tables import LatencyTable
from profilers.changes.baseline import MOST_RUNS
from profilers.changes.change import FEWEST_BLOCKS, FEWEST_RUNS, Changes, find_changes, find_changes_from_runs
from profilers.changes.levels import ALPHA, EFFECT
from profilers.changes.visit_medians import VisitMedians, visit_medians
from profilers.devices.identity import DEVICE_ID
from profilers.lab.history.events import events_of
from profilers.lab.history.nights import NewEra, Night, State, moment
from profilers.lab.siblings.same import check_measured, settings_of

# of a baseline; as regenerate has it: a table and its earlier runs
MOST_TABLES = 1 + MOST_RUNS
# what begins a new era
VERSIONS = ("runtime", "os", "tool")


@dataclass(frozen=True)
class History:
    """Tables of one device that were measured alike, in the order of their dates.

    settings: what they have in common; effect: the largest change, as a share, that did not matter
    events: what happened, in words, with its dates: the latest last
    """

    device: str
    device_id: str
    settings: Mapping[str, str]
    nights: tuple[Night, ...]
    eras: tuple[NewEra, ...]
    events: tuple[str, ...]
    effect: float

    @property
    def aside(self) -> str:
        """Why the last table is not to be trusted like those before it; "" where it is."""
        return "" if self.nights[-1].state in ("first", "unchanged") else self.events[-1]


@dataclass(frozen=True)
class UnfollowedTable:
    """A file that is in no history, and why."""

    path: Path
    why: str


def read_histories(
    places: Sequence[Path], effect: float = EFFECT, alpha: float = ALPHA
) -> tuple[tuple[History, ...], tuple[UnfollowedTable, ...]]:
    """The histories in files and in folders, with the folders in them; and the tables that are in none.

    Devices are told apart by `device_id` in the header, else by the device's name. A table without an id is of the
    device of its name, where one alone has that. InputError for a named file that is no measured table, for a table
    without a date, and where there is no table.
    """
    left_out: list[UnfollowedTable] = []
    groups: dict[tuple[str, ...], list[_Measured]] = {}
    for path, named in _files(places):
        try:
            measured = _Measured.read(path)
        except InputError as error:
            if named:
                raise
            left_out.append(UnfollowedTable(path, str(error)))
            continue
        same = groups.setdefault(measured.series, [])
        if any(other.when == measured.when and other.visits == measured.visits for other in same):
            left_out.append(UnfollowedTable(path, f"{path}: is a copy of another table"))
        else:
            same.append(measured)
    if not groups:
        why = f": {left_out[0].why}" if left_out else ""
        raise InputError(f"{', '.join(map(str, places))}: no measured table is in there{why}")
    _join(groups)
    histories = [history for same in groups.values() for history in _all_followed(same, effect, alpha)]
    return tuple(histories), tuple(left_out)


def _join(groups: dict[tuple[str, ...], list[_Measured]]) -> None:
    """Tables of before there were ids go to the only device of their name and settings. groups: {series: its tables}"""
    for series, same in [*groups.items()]:
        named = [each for each, (first, *_) in groups.items() if first.device_id and first.device == same[0].device]
        fit = [each for each in named if each[1:] == series[1:]]
        if not same[0].device_id and len(fit) == 1:
            groups[fit[0]] += [replace(table, device_id=fit[0][0]) for table in groups.pop(series)]


def _files(places: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Each file once, and whether it was named."""
    found: dict[Path, bool] = {}
    for place in places:
        if place.is_dir():
            for path in sorted(place.rglob("*.csv")):
                if kind_of(path) == TABLE:
                    found.setdefault(path, False)
        else:
            found[place] = True
    return list(found.items())


@dataclass(frozen=True)
class _Measured:
    """What is kept of one table. versions: of VERSIONS; series: what tells its history from others"""

    path: Path
    when: str
    device: str
    device_id: str
    settings: dict[str, str]
    versions: dict[str, str]
    visits: VisitMedians = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> _Measured:
        table = LatencyTable.load(path)
        check_measured(table)
        header = table.header
        when = header.get("when", "")
        try:
            moment(when)
        except ValueError:
            raise InputError(f"{path}: header when is {short(when)}, expected a date such as 2026-11-27") from None
        visits, _ = visit_medians(table)
        if (judged := sum(map(bool, visits.values()))) < FEWEST_BLOCKS:
            raise InputError(f"{path}: {judged} blocks have visits that count, expected at least {FEWEST_BLOCKS}")
        settings = settings_of(table)
        versions = {key: header.get(key, "not stated") for key in VERSIONS}
        settings = {key: text for key, text in settings.items() if key not in VERSIONS}
        settings["runtime"] = versions["runtime"].split(" ")[0]
        return cls(path, when, table.device, header.get(DEVICE_ID, ""), settings, versions, visits)

    @property
    def series(self) -> tuple[str, ...]:
        """What is the same in all tables of one history."""
        return (self.device_id or self.device, *(f"{key}={text}" for key, text in self.settings.items()))


def _all_followed(tables: Sequence[_Measured], effect: float, alpha: float) -> list[History]:
    """The history of tables of one series; those that share too few blocks with it are histories of their own."""
    left = sorted(tables, key=lambda m: (moment(m.when), str(m.path)))
    found: list[History] = []
    while left:
        history, left = _followed(left, effect, alpha)
        if found:
            began, other = history.nights[0], found[0].nights[0]
            words = f"{began.day}: a history of its own: too few of its blocks are in the tables from {other.day} on"
            history = replace(history, events=(words, *history.events))
        found.append(history)
    return found


def _followed(tables: Sequence[_Measured], effect: float, alpha: float) -> tuple[History, list[_Measured]]:
    """The history that begins with the first table, and the tables that cannot be compared with it."""
    nights: list[Night] = []
    eras: list[NewEra] = []
    baseline: list[VisitMedians] = []
    before: _Measured | None = None
    apart: list[_Measured] = []
    for table in tables:
        try:
            if before is not None and table.versions != before.versions:
                eras.append(_new_era(before, table, effect, alpha))
                baseline = []
            night = _night(table, baseline, len(eras), effect, alpha)
        except InputError:  # too few blocks in common
            apart.append(table)
            continue
        if night.state in ("first", "unchanged") and len(baseline) < MOST_TABLES:
            baseline.append(table.visits)
        nights.append(night)
        before = table
    first, events = tables[0], events_of(nights, eras)
    return History(first.device, first.device_id, first.settings, tuple(nights), tuple(eras), events, effect), apart


def _night(table: _Measured, baseline: Sequence[VisitMedians], era: int, effect: float, alpha: float) -> Night:
    if not baseline:
        return Night(table.path, table.when, era, "first", math.nan, math.nan, {}, len(table.visits))
    blocks, changes = _changes(baseline, table.visits, effect, alpha)
    changed = {str(blocks[i]): float(changes.effect[i]) for i in np.flatnonzero(changes.changed)}
    state: State = "drifted" if changes.all_changed else "blocks changed" if changed else "unchanged"
    level, error = 100 * (changes.drift - 1), 100 * changes.drift_error
    return Night(table.path, table.when, era, state, level, error, changed, len(blocks))


def _new_era(before: _Measured, now: _Measured, effect: float, alpha: float) -> NewEra:
    _, changes = _changes([before.visits], now.visits, effect, alpha)
    versions = ", ".join(
        f"{key} is {now.versions[key]}, was {before.versions[key]}"
        for key in VERSIONS
        if now.versions[key] != before.versions[key]
    )
    level, error = 100 * (changes.drift - 1), 100 * changes.drift_error
    return NewEra(now.when, versions, level, error, int(changes.changed.sum()))


def _changes(
    runs: Sequence[VisitMedians], new: VisitMedians, effect: float, alpha: float
) -> tuple[list[Block], Changes]:
    """The blocks that could be judged, and what they did; InputError where they are too few."""
    shared = [run for run in runs if any(visits and run.get(block) for block, visits in new.items())] or runs
    used = shared if len(shared) >= FEWEST_RUNS else shared[:1]
    blocks = [block for block, visits in new.items() if visits and any(run.get(block) for run in used)]
    now = [new[block] for block in blocks]
    old = [[run.get(block, ()) for block in blocks] for run in used]
    if len(used) < FEWEST_RUNS:
        return blocks, find_changes(old[0], now, effect=effect, alpha=alpha)
    return blocks, find_changes_from_runs(old, now, effect=effect, alpha=alpha)


def to_json(histories: Sequence[History]) -> dict[str, Any]:
    """What `ofa report` draws, and any program reads; a figure that is not known is null."""
    return {
        "history": [
            {
                "device": history.device,
                "device_id": history.device_id,
                "settings": dict(history.settings),
                "effect_pct": 100 * history.effect,
                "nights": [
                    {
                        "table": str(night.path),
                        "when": night.when,
                        "era": night.era,
                        "state": night.state,
                        "level_pct": None if math.isnan(night.level_pct) else night.level_pct,
                        "error_pct": None if math.isnan(night.error_pct) else night.error_pct,
                        "changed": len(night.changed),
                        "blocks": night.blocks,
                    }
                    for night in history.nights
                ],
                "events": list(history.events),
                "aside": history.aside,
            }
            for history in histories
        ]
    }
