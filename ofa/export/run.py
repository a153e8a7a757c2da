"""From a config to a model file: reads, calibrates, writes the model, compares it with the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ofa.checkpoints.weights import read_calibration
from ofa.export.compare import Agreement, compare
from ofa.export.config import ExportConfig
from ofa.export.images import class_numbers
from ofa.export.metadata import model_metadata
from ofa.export.model_file import float_model, safetensors_model, with_metadata, write_file
from ofa.export.opened import OpenedExport, open_export
from ofa.export.quantize import quantize, quantizer_version
from ofa.export.runtimes import runner
from ofa.export.trained import at_resolution, trained_graph
from ofa.images.facts import ImageFacts
from ofa.images.reading import broken_lines, left_out_lines
from ofa.networks import PlainNetwork, calibrate_bn, extract
from ofa.networks.synthetic import prepared

INT8_IMAGES = 200
BATCH = 50  # images at a time while calibrating and comparing
TOLERANCE = 1e-4  # of a float model's logits, relative to the largest: far above rounding, far below a wrong layer


@dataclass(frozen=True)
class ExportWatcher:
    """How an export tells of itself.

    note: told a line of what is known or done; warn: told what the user should know before the file is deployed
    progress: told what is being done, for how many images it is, and for how many it will be
    """

    note: Callable[[str], object] = lambda _: None
    warn: Callable[[str], object] = lambda _: None
    progress: Callable[[str, float, float], object] = lambda *_: None


@dataclass(frozen=True)
class ExportResult:
    """A model that was exported.

    resolution: side of its images, pixels
    images: what the file knows of its images, with marks of what was insisted on
    float32, int8: how far the models agree with the network, None where there is none
    warnings: what to know before it is deployed; broken: lines on images that could not be read
    """

    path: Path
    size_bytes: int
    resolution: int
    images: ImageFacts
    float32: Agreement | None
    int8: Agreement | None
    warnings: tuple[str, ...]
    broken: tuple[str, ...]


def export_model(config: ExportConfig, watcher: ExportWatcher | None = None) -> ExportResult:
    """Writes a specialised network, or a sub-network of a supernet, as a model file.

    Raises InputError where something given is wrong, Infeasible where no result meets `config.limit`; then nothing is
    written, and an older file stays as it is.
    """
    warnings: list[str] = []
    watcher = ExportWatcher() if watcher is None else watcher
    told = _Told(watcher, warnings)
    opened = open_export(config)
    for line in (opened.line, *left_out_lines(*opened.folders)):
        if line:
            told.note(line)
    for mark in opened.images_facts.marks:
        told.warn(mark)
    network = at_resolution(_network(opened, told), opened.resolution)
    if config.format == "safetensors":
        model = _Model(safetensors_model(network, _metadata(opened, network)))
    else:
        model = _runnable(opened, network, told)
    broken = tuple(broken_lines(*opened.folders))
    write_file(opened.out, model.content)
    return ExportResult(
        opened.out,
        len(model.content),
        opened.resolution,
        opened.images_facts,
        model.float32,
        model.int8,
        tuple(warnings),
        broken,
    )


@dataclass(frozen=True)
class _Told:
    """A watcher whose warnings are kept."""

    watcher: ExportWatcher
    warnings: list[str]

    def note(self, line: str) -> None:
        self.watcher.note(line)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.watcher.warn(text)

    def counted(self, name: str, total: int) -> Callable[[int], None]:
        """To be told of every batch how many images it had."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.watcher.progress(name, done, total)

        return advance


@dataclass(frozen=True)
class _Model:
    """The file's content, and how far the models agree with the network."""

    content: bytes
    float32: Agreement | None = None
    int8: Agreement | None = None


def _metadata(opened: OpenedExport, network: PlainNetwork) -> dict[str, str]:
    return model_metadata(
        network.spec,
        opened.preprocessing,
        labels=opened.labels,
        images=opened.images_facts,
        facts=opened.facts,
    )


def _runnable(opened: OpenedExport, network: PlainNetwork, told: _Told) -> _Model:
    """A model that a runtime runs, compared with the network by that runtime."""
    config = opened.config
    numbers = _class_numbers(opened, told)
    graph = trained_graph(network, batch=config.batch)
    content = float_model(config.format, graph)
    float32, int8 = _compared(opened, network, content, numbers, told, "float32"), None
    opened.facts["float32"] = float32.to_dict()
    told.note(f"float32: {float32}; logits within {float32.max_relative_error:.1e} of the largest")
    if not float32.max_relative_error < TOLERANCE:
        told.warn(f"the model's logits differ from the network's by more than {TOLERANCE:g}: do not deploy it unseen")
    if config.int8:
        content, opened.facts["int8"], int8 = _quantised(opened, network, numbers, told)
        told.note(f"int8: {int8}")
    metadata = _metadata(opened, network)
    if config.format == "torchscript":
        content = float_model(config.format, graph, metadata)
    else:
        content = with_metadata(config.format, content, metadata)
    return _Model(content, float32, int8)


def _class_numbers(opened: OpenedExport, told: _Told) -> list[int] | None:
    """The logit of every class of the images to compare on, None where it is not known; says what lacks."""
    if opened.images.evaluation is None:
        return None
    folder = opened.images.evaluation.folder
    numbers, line = class_numbers(folder, opened.source.num_classes, opened.known, opened.labels, opened.checkpoint)
    if line is not None:
        told.warn(line)
    return numbers


def _network(opened: OpenedExport, told: _Told) -> PlainNetwork:
    """The plain network, its batch normalisation calibrated where it comes from a supernet and there are images."""
    source, checkpoint = opened.source, opened.checkpoint
    if source.plain is not None:
        if not source.plain.spec.calibrated:
            told.warn(
                f"{checkpoint} was never calibrated, its accuracy may be lost: export the sub-network from its "
                "supernet with --calibration DIR"
            )
        return source.plain.eval()
    assert source.supernet is not None
    assert source.subnet is not None
    stored = read_calibration(checkpoint)
    if opened.images.calibration is not None:
        return _calibrated(opened, told)
    if stored is not None:
        facts = opened.images_facts
        synthetic = prepared(stored, source.subnet.resolution, facts.mean, facts.std)
        opened.facts["calibration"] = {"images": len(stored), "source": "synthetic images of the supernet's file"}
        told.note(f"batch normalisation calibrated on the {len(stored)} synthetic images of {checkpoint}")
        return extract(source.supernet, source.subnet, calibrate_bn(source.supernet, source.subnet, [synthetic]))
    told.warn(
        "batch normalisation is not calibrated: a supernet's own statistics fit no sub-network, and most of the "
        "accuracy may be lost. Give about 2,000 training images with --calibration DIR"
    )
    return extract(source.supernet, source.subnet)


def _calibrated(opened: OpenedExport, told: _Told) -> PlainNetwork:
    """The sub-network, calibrated with the images that are given."""
    config, source, chosen, cut = opened.config, opened.source, opened.images.calibration, opened.cut
    assert source.supernet is not None
    assert source.subnet is not None
    assert chosen is not None
    assert config.calibration is not None
    done = told.counted("calibrating batch normalisation", len(chosen))

    def batches() -> Iterator[torch.Tensor]:
        for images in cut.batches(chosen.batches(opened.preprocessing, BATCH, strict=config.strict)):
            yield images
            done(len(images))

    statistics = calibrate_bn(source.supernet, source.subnet, batches())
    cut.check(statistics.images, config.calibration)  # without the broken ones
    opened.facts["calibration"] = {
        "images": statistics.images,
        "source": config.calibration.name,
        "seed": config.seed,
    }
    told.note(f"batch normalisation calibrated on {statistics.images} images of {config.calibration}")
    return extract(source.supernet, source.subnet, statistics)


def _quantised(
    opened: OpenedExport, network: PlainNetwork, known: Sequence[int] | None, told: _Told
) -> tuple[bytes, dict[str, Any], Agreement]:
    """The int8 model, what its metadata says of it, and how far it agrees with the network."""
    config, images = opened.config, opened.images
    assert images.calibration is not None
    limit = min(max(INT8_IMAGES, config.batch), len(images.calibration))
    told.note(f"quantising with {limit} images")
    chosen = images.calibration.batches(opened.preprocessing, BATCH, limit=limit, strict=config.strict)
    pixels = torch.cat([batch for batch, _ in chosen]).numpy()

    def write(batch: int) -> bytes:
        return float_model(config.format, trained_graph(network, batch=batch))

    content = quantize(config.format, write, pixels, config.batch)
    if images.shared:
        told.warn("int8 is compared on the images it was calibrated with: give others with --evaluate DIR")
    agreement = _compared(opened, network, content, known, told, "int8")
    facts = {**agreement.to_dict(), "calibration_images": len(pixels), "quantizer": quantizer_version(config.format)}
    return content, facts, agreement


def _compared(
    opened: OpenedExport, network: PlainNetwork, model: bytes, known: Sequence[int] | None, told: _Told, kind: str
) -> Agreement:
    """Network and model on the images to compare on, or on 8 random ones where there are none."""
    config, chosen, r = opened.config, opened.images.evaluation, network.spec.resolution
    run = runner(config.format, model, config.batch)
    if chosen is None:
        noise = torch.randn(8, 3, r, r, generator=torch.Generator().manual_seed(0))
        return compare(network, run, [(noise, torch.full((8,), -1))])
    batches = chosen.batches(opened.preprocessing, BATCH, strict=config.strict)
    return compare(network, run, batches, known, told.counted(f"comparing {kind} with the network", len(chosen)))
