"""A measurement in batches: visits whose models fit on the phone together, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        """The names of its models' files, each once, and those of networks in parts."""
        return sorted({file for model in self.manifest["models"] for file in files_of(model)})


def files_of(model: Mapping[str, Any]) -> Sequence[str]:
    """The files of a manifest's model: one, or those of its parts."""
    parts: Sequence[str] | None = model.get("parts")
    return [model["path"]] if parts is None else parts


def largest_model(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> int:
    """Bytes of an archive of the model whose files need most room together. sizes: as for `batches_of`"""
    return max(_archived(set(files_of(model)), sizes) for model in manifest["models"]) + 3 * TAR_RECORD


def batches_of(manifest: Mapping[str, Any], sizes: Mapping[str, int], room: int) -> list[Batch]:
    """The visits in their order, cut wherever one more model would not fit. All parts of a network are in its batch.

    sizes: bytes of every file; room: bytes for an archive of them. A model that does not fit alone gets a batch
    of its own, which the phone will refuse.
    """
    starts, held = [0], set[str]()
    files = {model["id"]: set(files_of(model)) for model in manifest["models"]}
    for number, name in enumerate(manifest["visits"]):
        if not files[name] <= held:
            if held and _archived(held | files[name], sizes) > room:
                starts.append(number)
                held = set()
            held |= files[name]
    ends = [*starts[1:], len(manifest["visits"])]
    return [
        Batch(first, _only(manifest, manifest["visits"][first:end])) for first, end in zip(starts, ends, strict=True)
    ]


def _archived(files: Iterable[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes[file] + TAR_RECORD for file in files)


def _only(manifest: Mapping[str, Any], visits: Sequence[str]) -> dict[str, Any]:
    used = set(visits)
    return {**manifest, "models": [model for model in manifest["models"] if model["id"] in used], "visits": visits}
