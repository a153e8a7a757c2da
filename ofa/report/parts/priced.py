"""Networks that are in no space, priced by a table: the sum of their blocks, and the accuracies that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ofa.errors import InputError
from ofa.published.accuracies import Recipe, known_top1
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import is_named, open_network
from ofa.report.inputs.values import plain
from ofa.tables import LatencyTable
from ofa.tables.lookup import sum_of_blocks

MOST_NAMED = 100  # on one page


@dataclass(frozen=True, eq=False)
class NetworkInNoSpace:
    """network: as it was named; top1: per cent, by recipe, of the network's own classes"""

    network: BlockNetwork
    top1: Mapping[Recipe, float]


@dataclass(frozen=True)
class PricedNetwork:
    """A network under a table.

    sum_ms: of its blocks; None where blocks are missing, or there is no table
    interpolated: whether some blocks are interpolated; missing: how many different blocks the table lacks
    top1: per cent, by recipe; {} where none is known of the table's classes
    """

    name: str
    resolution: int
    macs_millions: float
    params_millions: float
    sum_ms: float | None
    interpolated: bool
    missing: int
    top1: Mapping[Recipe, float]


def named_networks(texts: Sequence[str]) -> tuple[NetworkInNoSpace, ...]:
    """The networks of these names and files; InputError for what is none, and for a network that is there twice."""
    if len(texts) > MOST_NAMED:
        raise InputError(f"--networks names {len(texts)} networks, expected at most {MOST_NAMED}")
    found: list[NetworkInNoSpace] = []
    for text in texts:
        network = open_network(text)
        if twice := [one.network.name for one in found if one.network.blocks == network.blocks]:
            raise InputError(f"--networks names {plain(twice[0])} twice")
        published = is_named(text) or is_named(text.rpartition("@")[0])
        top1 = {recipe: one.top1 for recipe, one in known_top1(network, published=published).items()}
        found.append(NetworkInNoSpace(network, top1))
    return tuple(found)


def priced_by(
    table: LatencyTable | None, networks: Sequence[NetworkInNoSpace], num_classes: int
) -> list[PricedNetwork]:
    """Fastest first, those without a sum last. num_classes: of the classifier that they are given

    Accuracies of another number of classes are of other images: they are left out.
    """
    found = [_priced(table, named, num_classes) for named in networks]
    return sorted(found, key=lambda one: (one.sum_ms is None, one.sum_ms or 0.0))


def _priced(table: LatencyTable | None, named: NetworkInNoSpace, num_classes: int) -> PricedNetwork:
    network, own = named.network, named.network.num_classes
    if own is not None and own != num_classes:
        network = network.of_classes(num_classes)
    summed = None if table is None else sum_of_blocks(table, network.blocks)
    return PricedNetwork(
        name=plain(network.name),
        resolution=network.resolution,
        macs_millions=network.macs / 1e6,
        params_millions=network.params / 1e6,
        sum_ms=None if summed is None else summed.latency_ms,
        interpolated=summed is not None and bool(summed.interpolated.any()),
        missing=0 if summed is None else len(summed.missing),
        top1=named.top1 if own == num_classes else {},
    )
