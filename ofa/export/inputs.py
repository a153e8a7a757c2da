"""What an export rests on: its inputs, read and known to fit together, before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa.checkpoints.opening import OpenedNetwork, open_subnet
from ofa.checkpoints.shipped import shipped_checkpoint
from ofa.checkpoints.weights import read_image_facts
from ofa.export.config import SUFFIXES, ExportConfig
from ofa.export.first import check_first
from ofa.export.images import ExportImages, choose_images
from ofa.export.labels import check_order, read_labels, read_stored_labels
from ofa.export.metadata import Preprocessing
from ofa.export.model_file import LAYOUTS
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.networks.calibrate import Calibrating
from ofa.runs.files import sha256
from ofa.runs.places import check_writable


@dataclass(frozen=True, eq=False)
class ExportInputs:
    """The inputs of an export.

    checkpoint: the one given, or the shipped one
    resolution: side of the exported model's images, pixels
    known: what the checkpoint knows of its images; images_facts: what the exported file will, marked
    line: how images are prepared, where that must be told
    labels: class names in the order of the logits, none if not known
    facts: for the exported file's metadata
    """

    config: ExportConfig
    checkpoint: Path
    source: OpenedNetwork
    resolution: int
    known: ImageFacts | None
    images_facts: ImageFacts
    line: str | None
    labels: Sequence[str]
    images: ExportImages
    facts: dict[str, Any]
    out: Path

    @property
    def folders(self) -> list[ImageFolder]:
        """Of the images to calibrate with and to compare on."""
        return [chosen.folder for chosen in (self.images.calibration, self.images.evaluation) if chosen is not None]

    @property
    def cut(self) -> Calibrating:
        """Into which batches the images to calibrate with are cut."""
        return calibrating(self.config)

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the model's input."""
        facts = self.images_facts
        return Preprocessing(self.resolution, LAYOUTS[self.config.format], facts.mean, facts.std)


def open_inputs(config: ExportConfig) -> ExportInputs:
    """Reads what the config names; InputError where something is missing, damaged or does not fit."""
    named = check_first(config)
    checkpoint = config.checkpoint or shipped_checkpoint(named, config.space)
    source = open_subnet(checkpoint, named, space_name=config.space, resolution=config.resolution)
    resolution = resolution_of(source, config.resolution)
    known = read_image_facts(checkpoint)
    prepared_as, line = decided(
        known, config.mean, config.std, override=config.override_preprocessing, source=checkpoint
    )
    if config.labels is None:
        labels = read_stored_labels(checkpoint, prepared_as)
    else:
        labels = read_labels(config.labels, source.num_classes)
    check_order(labels, prepared_as.classes, config.labels)
    out = config.out or default_out(config, checkpoint, source, resolution)
    check_writable(out)
    counts = (config.calibration_images, config.evaluate_images)
    images = choose_images(config.calibration, config.evaluate, counts, config.seed, known, checkpoint)
    facts: dict[str, Any] = {"checkpoint": {"name": checkpoint.name, "sha256": sha256(checkpoint)}}
    if named is not None and named.facts:
        facts["search"] = named.facts
    return ExportInputs(
        config=config,
        checkpoint=checkpoint,
        source=source,
        resolution=resolution,
        known=known,
        images_facts=facts_of_export(config, prepared_as, images, labels, resolution),
        line=line,
        labels=labels,
        images=images,
        facts=facts,
        out=out,
    )


def calibrating(config: ExportConfig) -> Calibrating:
    """How the images to calibrate with are cut into batches."""
    return Calibrating(config.calibration_batch, config.allow_poor_calibration)


def facts_of_export(
    config: ExportConfig, known: ImageFacts, images: ExportImages, labels: Sequence[str], resolution: int
) -> ImageFacts:
    """What the exported file will know of its images, marked; InputError where there are too few to calibrate with."""
    if images.calibration is not None:
        known = known.marked(calibrating(config).check(len(images.calibration), config.calibration))
    if images.evaluation is not None:
        known = known.marked(images.evaluation.mark)
    unlike = len(set(labels)) == len(labels)
    return replace(known, resolution=resolution, classes=known.classes or (tuple(labels) if unlike else ()))


def resolution_of(source: OpenedNetwork, asked: int | None) -> int:
    """Side of the images of what will be exported, pixels."""
    if source.subnet is not None:
        return source.subnet.resolution
    assert source.plain is not None
    return asked or source.plain.spec.resolution


def default_out(config: ExportConfig, checkpoint: Path, source: OpenedNetwork, resolution: int) -> Path:
    """The file to write where none is named."""
    name = source.supernet.space.name if source.supernet is not None else checkpoint.stem
    return Path("out/export", f"{name}-r{resolution}{'-int8' if config.int8 else ''}{SUFFIXES[config.format]}")
