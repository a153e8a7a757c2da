"""Networks that are in no space, priced by a table: the sum of their blocks, what they took, and known accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.images.files.names import shown
from ofa.published.accuracies import Recipe, known_top1
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import is_named, open_network
from ofa.reading.numbers import MILLISECONDS, PIXELS, Bounds, cut
from ofa.reading.structured import as_object, need, read_json
from ofa.tables import LatencyTable
from ofa.tables.lookup import sum_of_blocks

MOST_NAMED = 100  # on one page, or plot
LONGEST = 600  # characters of a name that is shown
MILLIONS, DRIFT = Bounds(0, 1e7, "millions"), Bounds(-100, 1e6, "per cent")
SAME = 1e-3  # of MACs and parameters, which files round
# what profilers.validate --also and profilers.baselines leave beside a table: the ending, and the key of its networks
MEASURED = {".validation.json": "also", ".baselines.json": "baselines"}


@dataclass(frozen=True, eq=False)
class NetworkInNoSpace:
    """network: as it was named; top1: per cent, by recipe, of the network's own classes; asked: what it was called"""

    network: BlockNetwork
    top1: Mapping[Recipe, float]
    asked: str


@dataclass(frozen=True)
class WholeLatency:
    """What a file beside a table says that a network took on its device, as a whole.

    macs, params: millions, which tell networks of one name apart
    doubtful: the machine was busy; file: its name
    machine_pct: by how much blocks or networks of the table took longer then than in it; None: not stated
    """

    name: str
    resolution: int
    macs: float
    params: float
    latency_ms: float
    doubtful: bool
    file: str
    machine_pct: float | None

    def is_of(self, network: BlockNetwork) -> bool:
        """Whether it is that network's."""
        return (
            (self.name, self.resolution) == (network.name, network.resolution)
            and math.isclose(self.macs, network.macs / 1e6, rel_tol=SAME)
            and math.isclose(self.params, network.params / 1e6, rel_tol=SAME)
        )


@dataclass(frozen=True)
class PricedNetwork:
    """A network under a table.

    sum_ms: of its blocks; None where blocks are missing, or there is no table
    interpolated: whether some blocks are interpolated; missing: how many different blocks the table lacks
    top1: per cent, by recipe; {} where none is known of the table's classes
    asked: what it was called; measured: where somebody looked for that, and found it
    """

    name: str
    resolution: int
    macs_millions: float
    params_millions: float
    sum_ms: float | None
    interpolated: bool
    missing: int
    top1: Mapping[Recipe, float]
    asked: str = ""
    measured: WholeLatency | None = None

    @property
    def latency_ms(self) -> float | None:
        """As measured, else the sum; None where neither is known."""
        return self.sum_ms if self.measured is None else self.measured.latency_ms

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: null for what is not known."""
        whole = self.measured
        return {
            "name": self.name,
            "resolution": self.resolution,
            "macs_millions": self.macs_millions,
            "params_millions": self.params_millions,
            "sum_ms": None if self.sum_ms is None else round(self.sum_ms, 6),
            "interpolated": self.interpolated,
            "missing_blocks": self.missing,
            "measured_ms": None if whole is None else whole.latency_ms,
            **({} if whole is None else {"measured_in": whole.file, "doubtful": whole.doubtful}),
            "top1": dict(self.top1),
        }


def named_networks(texts: Sequence[str]) -> tuple[NetworkInNoSpace, ...]:
    """The networks of these names and files; InputError for what is none, and for a network that is there twice."""
    if len(texts) > MOST_NAMED:
        raise InputError(f"--networks names {len(texts)} networks, expected at most {MOST_NAMED}")
    found: list[NetworkInNoSpace] = []
    for text in texts:
        network = open_network(text)
        if twice := [one.network.name for one in found if one.network.blocks == network.blocks]:
            raise InputError(f"--networks names {_plain(twice[0])} twice")
        published = is_named(text) or is_named(text.rpartition("@")[0])
        top1 = {recipe: one.top1 for recipe, one in known_top1(network, published=published).items()}
        found.append(NetworkInNoSpace(network, top1, text))
    return tuple(found)


def priced_by(
    table: LatencyTable | None,
    networks: Sequence[NetworkInNoSpace],
    num_classes: int,
    measured: Sequence[WholeLatency] = (),
) -> list[PricedNetwork]:
    """Fastest first, those of unknown latency last. num_classes: of the classifier that they are given

    Accuracies of another number of classes are of other images: they are left out.
    """
    found = [_priced(table, named, num_classes, measured) for named in networks]
    return sorted(found, key=lambda one: (one.latency_ms is None, one.latency_ms or 0.0))


def measured_beside(table: LatencyTable) -> tuple[list[WholeLatency], list[str]]:
    """What files beside a table say that networks in no space took, and, a line each, what is wrong with such files.

    Those of another device, runtime or batch are passed over. The later of two files counts, and comes first.
    """
    found: list[tuple[str, list[WholeLatency]]] = []
    faults: list[str] = []
    for ending, key in MEASURED.items() if table.path is not None else ():
        assert table.path is not None
        path = table.path.with_suffix(ending)
        if not path.is_file():
            continue
        try:
            content = read_json(path)
            if all(content.get(fact) == table.header[fact] for fact in ("device", "runtime")) and (
                content.get("batch", table.batch) == table.batch
            ):
                found.append((str(content.get("when", "")), list(_measured_in(path, content, key))))
        except InputError as error:
            faults.append(_plain(str(error)))
    found.sort(key=lambda file: file[0], reverse=True)
    return [one for _, networks in found for one in networks], faults


def _measured_in(path: Path, content: Mapping[str, Any], key: str) -> Iterator[WholeLatency]:
    listed, pct = need(content, key, list, path) if key in content else [], content.get("machine_pct")
    for i, row in enumerate(listed):
        where = f"{path}: {key}[{i}]"
        fields = as_object(row, where)
        took = fields.get("measured_ms", fields.get("latency_ms"))
        if took is None:
            continue  # it could not be measured
        yield WholeLatency(
            name=need(fields, "network" if "network" in fields else "name", str, where),
            resolution=PIXELS.whole(f"{where}: resolution", fields.get("resolution")),
            macs=MILLIONS.check(f"{where}: macs_millions", fields.get("macs_millions")),
            params=MILLIONS.check(f"{where}: params_millions", fields.get("params_millions")),
            latency_ms=MILLISECONDS.check(f"{where}: latency", took),
            doubtful=fields.get("doubtful") is True,
            file=path.name,
            machine_pct=None if pct is None else DRIFT.check(f"{path}: machine_pct", pct),
        )


def _priced(
    table: LatencyTable | None, named: NetworkInNoSpace, num_classes: int, measured: Sequence[WholeLatency]
) -> PricedNetwork:
    network, own = named.network, named.network.num_classes
    if own is not None and own != num_classes:
        network = network.of_classes(num_classes)
    summed = None if table is None else sum_of_blocks(table, network.blocks)
    return PricedNetwork(
        name=_plain(network.name),
        resolution=network.resolution,
        macs_millions=network.macs / 1e6,
        params_millions=network.params / 1e6,
        sum_ms=None if summed is None else summed.latency_ms,
        interpolated=summed is not None and bool(summed.interpolated.any()),
        missing=0 if summed is None else len(summed.missing),
        top1=named.top1 if own == num_classes else {},
        asked=named.asked,
        measured=next((one for one in measured if one.is_of(network)), None),
    )


def _plain(name: str) -> str:
    """On one line, what steers a terminal escaped."""
    return cut(shown(name), LONGEST)
