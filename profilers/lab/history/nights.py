"""One table of a device against those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

State = Literal["first", "unchanged", "drifted", "blocks changed"]


def moment(when: str) -> datetime:
    """A header's date, so that dates of two time zones can be ordered: without a zone it is taken as UTC. ValueError"""
    found = datetime.fromisoformat(when)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Night:
    """One table against its era's baseline.

    level_pct, error_pct: all blocks, per cent above the baseline; nan of an era's first
    changed: {block: by what share it is slower}, of blocks beside the level
    """

    path: Path
    when: str
    era: int
    state: State
    level_pct: float
    error_pct: float
    changed: Mapping[str, float]
    blocks: int

    @property
    def day(self) -> str:
        return self.when[:10]


@dataclass(frozen=True)
class NewEra:
    """The first table of an era against the last one of the era before.

    versions: "runtime is X, was Y"
    """

    when: str
    versions: str
    level_pct: float
    error_pct: float
    changed: int
