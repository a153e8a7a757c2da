"""The networks to evaluate: a checkpoint's own, or sub-networks of its supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ofa.checkpoints.mit_layout import spec_from_net_config
from ofa.checkpoints.opening import checkpoint_kind, num_classes_of, open_checkpoint, open_supernet
from ofa.checkpoints.subnet_file import NamedSubnet, read_subnet
from ofa.checkpoints.weights import load_plain, read_image_facts
from ofa.errors import InputError
from ofa.evaluate.config import EvaluateConfig
from ofa.evaluate.model_file import FileNetwork, is_model_file, open_file_network
from ofa.networks import PlainNetwork, Supernet
from ofa.reading.structured import read_json
from ofa.space import Subnet, checked_resolution
from ofa.space.description import require_same

AnyNetwork: TypeAlias = PlainNetwork | Supernet | FileNetwork


@dataclass(frozen=True)
class NamedNetwork:
    """A network to evaluate: a sub-network of the supernet, or the plain network itself (None).

    resolution: side of its images, pixels; facts: what a search said of it
    """

    name: str
    resolution: int
    subnet: Subnet | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def classes_of(net: AnyNetwork) -> int:
    """Classes of a network's classifier."""
    return net.model.classes if isinstance(net, FileNetwork) else num_classes_of(net)


def open_networks(config: EvaluateConfig) -> tuple[AnyNetwork, list[NamedNetwork]]:
    """The network of a checkpoint, and which of its networks are asked for; InputError where they do not fit."""
    path = config.checkpoint
    net: AnyNetwork
    if is_model_file(path):
        net = open_file_network(config)
        return _counted(net, config), [NamedNetwork(path.name, net.model.resolution)]
    kind = checkpoint_kind(path)
    if config.config is not None:
        assert config.resolution is not None  # the config says so
        net = load_plain(spec_from_net_config(read_json(config.config), config.resolution), path)
        asked = [NamedNetwork(path.stem, config.resolution)]
    elif kind == "network":
        if config.of_supernet:
            raise InputError(f"{path} holds one specialised network: leave --subnet and --random out")
        net = open_checkpoint(path)
        assert isinstance(net, PlainNetwork)  # its kind says so
        asked = [NamedNetwork(path.name, config.resolution or net.spec.resolution)]
    else:
        if not config.of_supernet:
            holds = "holds a supernet" if kind == "supernet" else "does not state what it holds"
            raise InputError(
                f"{path} {holds}: name sub-networks with --subnet FILE or --random N; for a specialised network of "
                "MIT's give --config"
            )
        net, asked = _of_supernet(config)
    return _counted(net, config), asked


def _counted(net: AnyNetwork, config: EvaluateConfig) -> AnyNetwork:
    """The network; InputError where it has other classes than it must."""
    if config.num_classes is not None and (found := classes_of(net)) != config.num_classes:
        raise InputError(f"{config.checkpoint} has {found} classes, not {config.num_classes} as --num-classes asks")
    return net


def _of_supernet(config: EvaluateConfig) -> tuple[Supernet, list[NamedNetwork]]:
    named = [] if config.subnet is None else _named(config.subnet, config.index)
    stated = next((n.space for n in named if n.space), "")
    net = open_supernet(config.checkpoint, config.space or stated, config.num_classes)
    space = net.space
    for each in named[:1] if stated else ():
        require_same(space, each.known_space(), config.subnet)
    if config.subnet is not None:
        given = next((n.num_classes for n in named if n.num_classes is not None), space.num_classes)
        if given != space.num_classes:
            raise InputError(f"{config.checkpoint} has {space.num_classes} classes, but {config.subnet} states {given}")
        named[0].check_classes(read_image_facts(config.checkpoint), config.checkpoint)
        found = [(_name(n.facts or {}, i), n.subnet(space), n.facts or {}) for i, n in enumerate(named)]
    else:
        found = _random(net, config.random or 0, np.random.default_rng(config.seed))
    size = None if config.resolution is None else checked_resolution(config.resolution)
    asked = []
    for label, subnet, facts in found:
        sized = subnet if size is None else replace(subnet, resolution=size)
        asked.append(NamedNetwork(label, sized.resolution, sized, facts))
    return net, asked


def _named(path: Path, index: int | None) -> list[NamedSubnet]:
    """The sub-networks in a file: all results of a search, or the one chosen."""
    results = read_json(path).get("results")
    if index is not None or not isinstance(results, list) or not results:
        return [read_subnet(path, index=index)]
    return [read_subnet(path, index=i) for i in range(len(results))]


def _name(facts: Mapping[str, Any], i: int) -> str:
    table, limit = facts.get("table"), facts.get("limit_ms")
    return f"{table} {limit:g} ms" if table and isinstance(limit, (int, float)) else f"sub-network {i}"


def _random(net: Supernet, count: int, rng: np.random.Generator) -> list[tuple[str, Subnet, Mapping[str, Any]]]:
    """Random sub-networks at the resolutions that the supernet was trained at."""
    genes = net.space.sample(rng, count, resolutions=net.resolutions)
    return [(f"random {i}", subnet, {}) for i, subnet in enumerate(net.space.decode(genes))]
