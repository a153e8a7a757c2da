"""What a fine-tuning begins with: the network, its images, and those that batch normalisation is calibrated with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ofa.checkpoints.opening import OpenedNetwork, checkpoint_kind, open_subnet
from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.weights import read_image_facts
from ofa.errors import InputError
from ofa.finetune.config import FinetuneConfig, StartOptions
from ofa.finetune.data import FinetuneData, open_data
from ofa.images.classes import read_classes
from ofa.images.facts import ImageFacts
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import decided
from ofa.images.reading import batches
from ofa.networks import PlainNetwork, calibrate_bn, calibrated_plain, extract
from ofa.networks.calibrate import Calibrating
from ofa.networks.layers import use_channels_last
from ofa.networks.new_classifier import with_new_classifier
from ofa.training.state import CHECKPOINT

SMALLEST_CROP = 0.08
CALIBRATION_IMAGES = 2000


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

    def batches(self, resolution: int) -> Iterator[Tensor]:
        """Image tensors (N, 3, R, R)."""
        read = batches(self.folder, resolution, self.batch_size, indices=self.indices, broken=[], **self.how)
        return self.cut.batches(read)


def starting_source(options: StartOptions) -> OpenedNetwork:
    """What --network, or --checkpoint and --subnet, name; InputError where they do not fit together."""
    if options.network is not None:
        if checkpoint_kind(options.network) != "network":
            raise InputError(
                f"{options.network} does not state what network it holds: give its folder, or a supernet with "
                "--checkpoint and --subnet"
            )
        source = open_subnet(options.network, None)
        assert source.plain is not None  # its kind says so
        made_for = source.plain.spec.resolution
        if options.resolution is not None and options.resolution != made_for:
            raise InputError(
                f"{options.network} is made for {made_for} px: another --resolution is chosen with "
                "--checkpoint and --subnet"
            )
        return source
    assert options.checkpoint is not None
    assert options.subnet is not None  # the options say so
    named = read_subnet(options.subnet, index=options.index)
    source = open_subnet(options.checkpoint, named, space_name=options.space, resolution=options.resolution)
    if source.supernet is None or source.subnet is None:
        raise InputError(f"{options.checkpoint} holds a specialised network: give it with --network")
    return source


def starting_network(
    config: FinetuneConfig, source: OpenedNetwork, classes: int | None, calibration: Calibration
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
        if not (config.resume and (config.out / CHECKPOINT).exists()):  # else they come with the checkpoint
            images = calibration.batches(source.subnet.resolution)
            statistics = calibrate_bn(source.supernet, source.subnet, images)
        network = extract(source.supernet, source.subnet, statistics)
        # the settings of a run must not depend on whether it was resumed
        network.spec = replace(network.spec, calibrated=True)
    if classes is not None:
        network = with_new_classifier(network, classes, config.seed)
    use_channels_last(network)
    return network


def recalibrated(network: PlainNetwork, calibration: Calibration) -> None:
    """Re-estimates the network's statistics in place: those of training are of augmented images."""
    images = 0

    def counted() -> Iterator[Tensor]:
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


def begin(config: FinetuneConfig) -> Beginning:
    """The network, the images, and what is known of them; InputError where they do not fit together."""
    path = config.source
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    known, cut = read_image_facts(path), Calibrating(config.calibration_batch, config.allow_poor_calibration)
    start = None if known is None else replace(known, marks=())  # what was marked ends with the training
    facts, line = decided(start, config.mean, config.std, override=config.override_preprocessing, source=path)
    mapping = read_classes(config.classes) if config.classes else None
    source = starting_source(config)
    data = open_data(config, known, path, source.num_classes, mapping)
    if len(data.indices) < config.batch_size:
        raise InputError(
            f"{data.train.path}: {len(data.indices)} training images are fewer than a batch of {config.batch_size}: "
            "give a smaller --batch-size"
        )
    crop = config.smallest_crop or facts.smallest_crop or SMALLEST_CROP
    facts = data.facts(facts, new_classes=config.new_classes, mapped=mapping is not None, smallest_crop=crop)
    shuffled = np.random.default_rng(config.seed).permutation(len(data.indices))[:CALIBRATION_IMAGES]
    used = [data.indices[i] for i in shuffled]
    facts = facts.marked(cut.check(len(used), data.train.path))
    how = {"mean": facts.mean, "std": facts.std, "workers": config.workers, "strict": config.strict}
    calibration = Calibration(data.train, used, cut, config.batch_size, how)
    network = starting_network(config, source, len(data.train.classes) if config.new_classes else None, calibration)
    return Beginning(network, facts, data, calibration, crop, (line, *data.notices))
