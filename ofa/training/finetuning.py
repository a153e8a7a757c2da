"""What `ofa.finetune` begins with: the network, the images to train and to validate on, those to calibrate with."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ofa.checkpoints.opening import Source, load_source
from ofa.checkpoints.subnet_file import read_subnet
from ofa.cli.image_options import calibrating
from ofa.errors import InputError
from ofa.images.classes import matched, read_classes
from ofa.images.facts import HeldOut, ImageFacts, data_identity, names_sha256
from ofa.images.folder import ImageFolder
from ofa.images.held_out import HELD_OUT_SEED, check_learnable, held_out_indices
from ofa.images.opening import open_images
from ofa.images.preprocessing import decided
from ofa.images.reading import batches, left_out_lines
from ofa.networks import PlainNetwork, calibrate_bn, calibrated_plain, extract
from ofa.networks.calibrate import Calibrating
from ofa.networks.checkpoint import load_network, read_image_facts
from ofa.networks.layers import use_channels_last
from ofa.networks.new_classifier import with_new_classifier
from ofa.training.state import CHECKPOINT

SMALLEST_CROP = 0.08
CALIBRATION_IMAGES = 2000


@dataclass(frozen=True, eq=False)
class FinetuneData:
    """The images of a fine-tuning, labels as the network's logits have them.

    indices: those of `train` to train on, in any order
    held_out: those never trained on, in order; none where there are other images to validate with
    validation, validate_with: a folder and which of its images; None where there are none
    notices: lines to tell the user
    """

    train: ImageFolder
    indices: Sequence[int]
    held_out: Sequence[int]
    validation: ImageFolder | None
    validate_with: Sequence[int]
    notices: tuple[str, ...] = ()

    def facts(self, start: ImageFacts, *, new_classes: bool, mapped: bool, smallest_crop: float) -> ImageFacts:
        """What the resulting network knows.

        start: how images are prepared, and what the network to begin with knows; mapped: whether --classes was given
        """
        classes = start.classes
        if new_classes or not (classes or mapped):
            classes = self.train.classes
        return replace(
            start,
            classes=classes,
            smallest_crop=smallest_crop,
            trained_on=data_identity(self.train),
            held_out=HeldOut(len(self.held_out), HELD_OUT_SEED, names_sha256(self.train, self.held_out)),
        )


def open_data(
    args: argparse.Namespace, known: ImageFacts | None, source: object, classes: int, mapping: Mapping[str, int] | None
) -> FinetuneData:
    """The images that the options name; `classes`: how many the network, `source`, has.

    Without validation images, what the training of `source` held out of the same ones is not trained on, or a tenth.
    InputError where they are no use for training, or their classes are not the network's.
    """
    train = open_images(args.data, split="train")
    check_learnable(train)
    notices: list[str | None] = []
    if not args.new_classes:
        try:
            train, line = matched(train, known, classes, mapping, source=source)
        except InputError as error:
            raise InputError(f"{error}; or --new-classes for a new classifier") from None
        notices.append(line)
    validation, kept_back = None, list[int]()
    if args.val_data is not None or "val" in train.splits:
        if args.held_out is not None:
            raise InputError("--held-out is for images without val: leave it out")
        validation = open_images(args.val_data or args.data, split="val")
        if not validation.labelled:
            raise InputError(f"{validation.path} has no class folders: there is nothing to compare with")
        named = ImageFacts((0, 0, 0), (1, 1, 1), classes=train.classes if args.new_classes else _names(known, train))
        validation, line = matched(
            validation, named, max(classes, len(train.classes)), mapping, source=f"{train.path} ({train.split})"
        )
        notices.append(line)
        chosen = list(range(len(validation)))
    else:
        count = args.held_out
        if count is None and known is not None and known.held_out is not None and known.trained_on is not None:
            same = known.trained_on.same_images(data_identity(train))
            count = known.held_out.count if same else None
        kept_back = held_out_indices(train, count)
        validation, chosen = (train, kept_back) if kept_back else (None, [])
    rest = np.setdiff1d(np.arange(len(train)), kept_back)
    indices = (
        rest if args.limit is None else rest[np.random.default_rng(args.seed).permutation(len(rest))[: args.limit]]
    )
    shuffled = np.random.default_rng(args.seed).permutation(len(chosen))[: args.val_limit]
    validate_with = [chosen[i] for i in shuffled]
    notices += left_out_lines(train, validation)
    told = tuple(dict.fromkeys(line for line in notices if line))
    return FinetuneData(train, indices.tolist(), kept_back, validation, validate_with, told)


def _names(known: ImageFacts | None, train: ImageFolder) -> tuple[str, ...]:
    return known.classes if known is not None and known.classes else train.classes


@dataclass(frozen=True, eq=False)
class Calibration:
    """The training images that batch normalisation is calibrated with.

    indices: which of the folder, in random order; cut: into which batches; batch_size: images read at a time
    how: mean, std, workers and strict of `ofa.images.reading.batches`
    """

    folder: ImageFolder
    indices: Sequence[int]
    cut: Calibrating
    batch_size: int
    how: Mapping[str, Any]

    def batches(self, resolution: int) -> Any:
        """Image tensors (N, 3, R, R)."""
        read = batches(self.folder, resolution, self.batch_size, indices=self.indices, broken=[], **self.how)
        return self.cut.batches(read)


def starting_source(args: argparse.Namespace) -> Source:
    """What --network, or --checkpoint and --subnet, name; InputError where they do not fit together."""
    if args.network is not None:
        network = load_network(args.network)
        if args.resolution is not None and args.resolution != network.spec.resolution:
            raise InputError(
                f"{args.network} is made for {network.spec.resolution} px: another --resolution is chosen with "
                "--checkpoint and --subnet"
            )
        return Source(plain=network)
    named = read_subnet(args.subnet, index=args.index)
    source = load_source(args.checkpoint, named, space_name=args.space, resolution=args.resolution)
    if source.supernet is None or source.subnet is None:
        raise InputError(f"{args.checkpoint} holds a specialised network: give it with --network")
    return source


def starting_network(
    args: argparse.Namespace, source: Source, classes: int | None, calibration: Calibration
) -> PlainNetwork:
    """The network to begin with; a supernet's sub-network comes calibrated.

    classes: of a new classifier; None: it keeps its own
    """
    if source.plain is not None:
        network = source.plain
    else:
        assert source.supernet is not None
        assert source.subnet is not None
        statistics = None
        if not (args.resume and (args.out / CHECKPOINT).exists()):  # else they come with the checkpoint
            images = calibration.batches(source.subnet.resolution)
            statistics = calibrate_bn(source.supernet, source.subnet, images)
        network = extract(source.supernet, source.subnet, statistics)
        # the settings of a run must not depend on whether it was resumed
        network.spec = replace(network.spec, calibrated=True)
    if classes is not None:
        network = with_new_classifier(network, classes, args.seed)
    use_channels_last(network)
    return network


def recalibrated(network: PlainNetwork, calibration: Calibration) -> None:
    """Re-estimates the network's statistics in place: those of training are of augmented images."""
    images = 0

    def counted() -> Any:
        nonlocal images
        for batch in calibration.batches(network.spec.resolution):
            images += len(batch)
            yield batch

    calibrated_plain(network, counted())
    calibration.cut.check(images, calibration.folder.path)  # without the broken ones


@dataclass(frozen=True, eq=False)
class Beginning:
    """All that a fine-tuning begins with.

    facts: what the resulting network will know of its images; lines: to tell the user
    """

    network: PlainNetwork
    facts: ImageFacts
    data: FinetuneData
    calibration: Calibration
    smallest_crop: float
    lines: tuple[str | None, ...]

    def settings(self, args: argparse.Namespace) -> dict[str, Any]:
        """What makes the run what it is: it continues only with the same."""
        validation = self.data.validation
        return {
            "network": [str(p) if p else None for p in (args.network, args.checkpoint, args.subnet)],
            "architecture": self.network.spec.to_dict(),
            "data": str(self.data.train.path),
            "images": len(self.data.indices),
            "validation": None if validation is None else [str(validation.path), args.val_limit],
            "class_index": self.data.train.class_index,
            "new_classes": args.new_classes,
            "image_facts": self.facts.to_dict(),
            "calibration_batch": self.calibration.cut.batch,
            "batch_size": args.batch_size,
            "label_smoothing": args.label_smoothing,
        }


def begin(args: argparse.Namespace) -> Beginning:
    """The network, the images, and what is known of them; InputError where they do not fit together."""
    path = args.network or args.checkpoint
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if args.new_classes and args.classes:
        raise InputError("--new-classes numbers the class folders in sorted order: leave --classes out")
    known, cut = read_image_facts(path), calibrating(args)
    start = None if known is None else replace(known, marks=())  # what was marked ends with the training
    facts, line = decided(start, args.mean, args.std, override=args.override_preprocessing, source=path)
    mapping = read_classes(args.classes) if args.classes else None
    source = starting_source(args)
    data = open_data(args, known, path, source.num_classes, mapping)
    if len(data.indices) < args.batch_size:
        raise InputError(
            f"{data.train.path}: {len(data.indices)} training images are fewer than a batch of {args.batch_size}: "
            "give a smaller --batch-size"
        )
    crop = args.smallest_crop or facts.smallest_crop or SMALLEST_CROP
    facts = data.facts(facts, new_classes=args.new_classes, mapped=mapping is not None, smallest_crop=crop)
    shuffled = np.random.default_rng(args.seed).permutation(len(data.indices))[:CALIBRATION_IMAGES]
    used = [data.indices[i] for i in shuffled]
    facts = facts.marked(cut.check(len(used), data.train.path))
    how = {"mean": facts.mean, "std": facts.std, "workers": args.workers, "strict": args.strict}
    calibration = Calibration(data.train, used, cut, args.batch_size, how)
    network = starting_network(args, source, len(data.train.classes) if args.new_classes else None, calibration)
    return Beginning(network, facts, data, calibration, crop, (line, *data.notices))
