"""What `ofa.evaluate` evaluates, from its flags: a checkpoint's network or sub-networks, and fitting images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ofa.checkpoints.opening import net_classes as net_classes
from ofa.checkpoints.opening import open_supernet as open_supernet
from ofa.checkpoints.subnet_file import NamedSubnet, read_subnet
from ofa.cli.image_options import calibrating
from ofa.errors import InputError
from ofa.images.choice import Chosen, images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched, read_classes
from ofa.images.facts import ImageFacts
from ofa.images.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.images.reading import left_out_lines
from ofa.networks import PlainNetwork, Supernet
from ofa.networks.checkpoint import (
    SUPERNET_FORMAT,
    load_checkpoint,
    load_network,
    read_image_facts,
    read_json,
    read_tensors,
)
from ofa.networks.mit_layout import spec_from_net_config
from ofa.space import SearchSpace, Subnet


@dataclass(frozen=True)
class Subject:
    """A network to evaluate: a sub-network of the supernet, or the plain network itself (None).

    facts: what a search said of it
    """

    name: str
    resolution: int
    subnet: Subnet | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def load_subjects(args: argparse.Namespace) -> tuple[PlainNetwork | Supernet, list[Subject]]:
    """The network of a checkpoint, and the sub-networks of it that are asked for."""
    path = args.checkpoint
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    supernet_flags = args.subnet is not None or args.random is not None
    net: PlainNetwork | Supernet
    if args.config is not None:
        if supernet_flags or args.resolution is None:
            raise InputError("--config is of a specialised network: give --resolution, and no --subnet or --random")
        net = PlainNetwork(spec_from_net_config(read_json(args.config), args.resolution))
        load_checkpoint(net, path)
        subjects = [Subject(path.stem, args.resolution)]
    elif path.is_dir() or read_tensors(path)[1].get("format", "").startswith("ofa-network/"):
        if supernet_flags:
            raise InputError(f"{path} holds one specialised network: leave --subnet and --random out")
        net = load_network(path)
        subjects = [Subject(path.name, args.resolution or net.spec.resolution)]
    else:
        if not supernet_flags:
            _, metadata = read_tensors(path)
            known = metadata.get("format") == SUPERNET_FORMAT
            raise InputError(
                f"{path} {'holds a supernet' if known else 'does not say what it holds'}: name sub-networks with "
                "--subnet FILE or --random N; for a specialised network of MIT's give --config"
            )
        net, subjects = _of_supernet(args)
    if args.num_classes is not None and net_classes(net) != args.num_classes:
        raise InputError(f"{path} has {net_classes(net)} classes, not {args.num_classes} as --num-classes says")
    return net, subjects


def _of_supernet(args: argparse.Namespace) -> tuple[Supernet, list[Subject]]:
    named = _named(args.subnet, args.index) if args.subnet is not None else []
    stated = next((n.space for n in named if n.space), "")
    name = args.space or stated
    sizes = {*(n.resolution for n in named), *([args.resolution] if args.resolution else [])}
    net = open_supernet(args.checkpoint, name, sizes, args.num_classes)
    space = net.space
    if stated and stated != space.name:
        raise InputError(f"{args.subnet} is of {stated}, not {space.name}")
    if args.subnet is not None:
        given = next((n.num_classes for n in named if n.num_classes is not None), space.num_classes)
        if given != space.num_classes:
            raise InputError(f"{args.checkpoint} has {space.num_classes} classes, but {args.subnet} says {given}")
        named[0].check_classes(read_image_facts(args.checkpoint), args.checkpoint)
        found = [(_named_as(n.facts or {}, i), n.subnet(space), n.facts or {}) for i, n in enumerate(named)]
    else:
        found = _random(space, args.random, args.resolution, np.random.default_rng(args.seed))
    subjects = []
    for label, subnet, facts in found:
        sized = subnet if args.resolution is None else replace(subnet, resolution=args.resolution)
        subjects.append(Subject(label, sized.resolution, sized, facts))
    return net, subjects


def _named(path: Path, index: int | None) -> list[NamedSubnet]:
    """The sub-networks in a file: all results of a search, or the one chosen."""
    results = read_json(path).get("results")
    if index is not None or not isinstance(results, list) or not results:
        return [read_subnet(path, index=index)]
    return [read_subnet(path, index=i) for i in range(len(results))]


def _named_as(facts: Mapping[str, Any], i: int) -> str:
    table, limit = facts.get("table"), facts.get("limit_ms")
    return f"{table} {limit:g} ms" if table and isinstance(limit, (int, float)) else f"sub-network {i}"


def _random(space: SearchSpace, count: int, resolution: int | None, rng: Any) -> list[tuple[str, Subnet, Any]]:
    genes = space.sample(rng, count, resolutions=None if resolution is None else [resolution])
    return [(f"random {i}", subnet, {}) for i, subnet in enumerate(space.decode(genes))]


@dataclass(frozen=True, eq=False)
class OpenedImages:
    """The images that a network is evaluated on and calibrated with, and how they are prepared.

    facts: as the options and the checkpoint say, with marks of what was insisted on
    data: the folder to evaluate on, labels as the network's logits have them; evaluated: which of its images
    calibration: images to calibrate with, and of them those that are used, in random order; None: none
    lines: to tell the user
    """

    facts: ImageFacts
    data: ImageFolder
    evaluated: Chosen
    calibration: tuple[ImageFolder, Sequence[int]] | None
    lines: tuple[str | None, ...]


def open_for(args: argparse.Namespace, net: PlainNetwork | Supernet, *, calibrate: bool) -> OpenedImages:
    """The images that the options of `ofa.evaluate` and `ofa.predictors.collect` name; InputError as these say."""
    source, cut = args.checkpoint, calibrating(args)
    known = read_image_facts(source)
    facts, line = decided(known, args.mean, args.std, override=args.override_preprocessing, source=source)
    chosen = images_to_evaluate(args.data, known, source, split=args.split, allow_training=args.allow_training_images)
    mapping = read_classes(args.classes) if args.classes else None
    data, lacking = matched(chosen.folder, known, net_classes(net), mapping, source=source)
    facts, calibration = facts.marked(chosen.mark), None
    if calibrate:
        given = images_to_calibrate(args.calibration, args.data, known, chosen, source)
        calibration = (given.folder, given.at_random(args.calibration_images, args.seed))
        facts = facts.marked(given.mark, cut.check(len(calibration[1]), given.folder.path))
    folders = [data, None if calibration is None else calibration[0]]
    return OpenedImages(facts, data, chosen, calibration, (line, lacking, *left_out_lines(*folders)))
