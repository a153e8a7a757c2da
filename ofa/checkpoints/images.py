"""Images that fit a checkpoint: prepared and labelled as its network was trained, none of them trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.checkpoints.weights import read_image_facts
from ofa.cli.options import CalibrationOptions, ImageOptions
from ofa.images.choice import ChosenImages, images_to_calibrate, images_to_evaluate
from ofa.images.classes import matched, read_classes
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.images.reading import left_out_lines
from ofa.networks.calibrate import Calibrating


@dataclass(frozen=True, eq=False)
class EvaluationImages:
    """The images that a network is evaluated on and calibrated with, and how they are prepared.

    facts: as the options and the checkpoint say, with marks of what was insisted on
    data: the folder to evaluate on, labels as the network's logits have them; evaluated: which of its images
    calibration: images to calibrate with, and of them those that are used, in random order; None: none
    cut: into which batches these are cut
    lines: to tell the user
    """

    facts: ImageFacts
    data: ImageFolder
    evaluated: ChosenImages
    calibration: tuple[ImageFolder, Sequence[int]] | None
    cut: Calibrating
    lines: tuple[str, ...]


def open_evaluation_images(
    checkpoint: Path,
    classes: int,
    options: ImageOptions,
    calibration: CalibrationOptions | None,
    seed: int,
    known: ImageFacts | None = None,
) -> EvaluationImages:
    """The images that options name, for a network of so many classes.

    calibration: None: none are needed; seed: of which of them are used, and in which order
    known: of its images, where another than the file of weights says it
    InputError where there are no such images, or they do not fit the checkpoint.
    """
    known = read_image_facts(checkpoint) if known is None else known
    facts, line = decided(known, options.mean, options.std, override=options.override_preprocessing, source=checkpoint)
    chosen = images_to_evaluate(
        options.data, known, checkpoint, split=options.split, allow_training=options.allow_training_images
    )
    mapping = read_classes(options.classes) if options.classes else None
    data, lacking = matched(chosen.folder, known, classes, mapping, source=checkpoint)
    facts, used, cut = facts.marked(chosen.mark), None, Calibrating()
    if calibration is not None:
        cut = Calibrating(calibration.calibration_batch, calibration.allow_poor_calibration)
        given = images_to_calibrate(calibration.calibration, options.data, known, chosen, checkpoint)
        used = (given.folder, given.at_random(calibration.calibration_images, seed))
        facts = facts.marked(given.mark, cut.check(len(used[1]), given.folder.path))
    lines = (line, lacking, *left_out_lines(data, None if used is None else used[0]))
    return EvaluationImages(facts, data, chosen, used, cut, tuple(line for line in lines if line))
