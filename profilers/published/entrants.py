"""What is measured: published networks at the resolutions of their accuracies, and networks that a search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.published import PUBLISHED, PublishedTop1, get_published, published_resolutions
from ofa.published.accuracies import Recipe, known_top1
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import is_named, open_network
from ofa.search.config import SearchConfig
from ofa.search.run import OtherClasses, open_searches, undominated
from ofa.search.specialise import DeviceSearch
from ofa.search.specialised import Specialised
from ofa.tables import LatencyTable
from profilers.published.config import BaselinesConfig
from profilers.whole_networks.choosing import Chosen, controls_of

# of ImageNet: what was published is of these
CLASSES = 1000
# what a network is called without its resolution
USUAL = 224


@dataclass(frozen=True, eq=False)
class Entrant:
    """A network that is in no space: a published one, at a resolution at which some accuracy of it was published, or
    one of the user's.

    title: as its authors call it; published: whether accuracies were published of it, whatever its name is
    """

    network: BlockNetwork
    title: str
    published: bool

    @property
    def resolution(self) -> int:
        """Side of its images, pixels."""
        return self.network.resolution

    @property
    def label(self) -> str:
        """Its title, with a resolution other than the usual."""
        size = "" if self.resolution == USUAL else f" {self.resolution} px"
        return f"{self.title}{size}"

    @property
    def top1(self) -> dict[Recipe, PublishedTop1]:
        """By recipe, those that were published, or that its file states."""
        return known_top1(self.network, published=self.published)

    def blocks(self) -> tuple[Block, ...]:
        return self.network.blocks


def entrants(names: Sequence[str]) -> list[Entrant]:
    """The networks of these names and files, all published ones without any, from few to many multiply-accumulates."""
    found = [entrant for name in names or PUBLISHED for entrant in entrants_of(name)]
    return sorted(found, key=lambda one: one.network.macs)


def entrants_of(name: str) -> list[Entrant]:
    """A named network at each resolution that an accuracy of it is of, or its own; the network of a file."""
    if not is_named(name):
        network = open_network(name)
        network.require_file_size()
        return [Entrant(network, network.name, published=False)]
    published = get_published(name)
    sizes = published_resolutions(published.name) or (published.resolution,)
    networks = [BlockNetwork(published.name, published.blocks(size, CLASSES), published.source) for size in sizes]
    return [Entrant(network, published.title, published=True) for network in networks]


@dataclass(frozen=True, eq=False)
class Contest:
    """Everything that is measured in one run.

    found: by sum of blocks, from fast to slow; plan: the found networks, the published ones, the table's controls
    """

    search: DeviceSearch
    published: tuple[Entrant, ...]
    found: tuple[Specialised, ...]
    plan: Chosen


def contest_of(config: BaselinesConfig, table: LatencyTable) -> Contest:
    """Searches; InputError where the table's networks are of other classes than the published ones."""
    if table.num_classes != CLASSES:
        raise InputError(
            f"{table.path} is of {table.num_classes} classes, and what was published is of ImageNet's {CLASSES:,}: "
            f"measure a table of {CLASSES:,} classes"
        )
    asked = SearchConfig(
        table=(str(table.path),), space=config.space, predictor=config.predictor, resolutions=config.resolutions
    )
    try:
        _, searches = open_searches(asked)
    except OtherClasses as error:
        raise InputError(
            f"what was published is of ImageNet's {CLASSES:,} classes, and so is {table.path}, but the predictor is "
            "not: give one of ImageNet by --predictor, or a table of a space that has one (mbv3-w1.0, mbv3-w1.2)"
        ) from error
    (search,) = searches.values()
    results, _ = search.run(search.frontier_limits(config.found), np.random.default_rng(config.seed))
    found = tuple(undominated(results, "latency"))
    published = tuple(entrants(config.networks))
    genes = search.space.encode([one.subnet for one in found])
    plan = Chosen(search.space, genes, controls_of(table), tuple(one.blocks() for one in published))
    return Contest(search, published, found, plan)
