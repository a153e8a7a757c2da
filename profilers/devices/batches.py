"""A measurement in batches: visits whose models fit on the phone together, one batch after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from profilers.measuring.events import Begins, Error, Event, Result

# of a file in an archive: its header, and the rest of its last record
TAR_RECORD = 1024


@dataclass(frozen=True)
class Batch:
    """first: the number of its first visit in the whole manifest; manifest: as an agent is to get it"""

    first: int
    manifest: Mapping[str, Any]

    def renumbered(self, event: Event) -> Event:
        """An agent's event, its visit by the whole manifest's numbers."""
        if isinstance(event, Begins | Result) or (isinstance(event, Error) and event.visit is not None):
            assert event.visit is not None
            return replace(event, visit=event.visit + self.first)
        return event

    @property
    def files(self) -> list[str]:
        """The names of its models' files."""
        return [model["path"] for model in self.manifest["models"]]


def batches_of(manifest: Mapping[str, Any], sizes: Mapping[str, int], room: int) -> list[Batch]:
    """The visits in their order, cut wherever one more model would not fit.

    sizes: bytes of every model's file; room: bytes for an archive of them. A model that does not fit alone gets a batch
    of its own, which the phone will refuse.
    """
    starts, held, used = [0], set[str](), 0
    paths = {model["id"]: model["path"] for model in manifest["models"]}
    for number, name in enumerate(manifest["visits"]):
        size = sizes[paths[name]] + TAR_RECORD
        if name not in held and held and used + size > room:
            starts.append(number)
            held, used = set(), 0
        if name not in held:
            held, used = held | {name}, used + size
    ends = [*starts[1:], len(manifest["visits"])]
    return [
        Batch(first, _only(manifest, manifest["visits"][first:end])) for first, end in zip(starts, ends, strict=True)
    ]


def _only(manifest: Mapping[str, Any], visits: Sequence[str]) -> dict[str, Any]:
    used = set(visits)
    return {**manifest, "models": [model for model in manifest["models"] if model["id"] in used], "visits": visits}
