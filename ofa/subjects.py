"""Opened images as ofa.predictors.collect takes them, until it has a config; and where open_supernet stood."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ofa.checkpoints.opening import num_classes_of as net_classes
from ofa.checkpoints.opening import open_supernet as open_supernet
from ofa.cli.image_options import calibrating
from ofa.images.choice import Chosen, images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched, read_classes
from ofa.images.facts import ImageFacts
from ofa.images.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.images.reading import left_out_lines
from ofa.networks import PlainNetwork, Supernet
from ofa.networks.checkpoint import read_image_facts


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
