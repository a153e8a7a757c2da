"""From a config to a model file: reads, calibrates, writes the model, compares it with the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ofa import __version__
from ofa.checkpoints.weights import read_calibration
from ofa.errors import InputError
from ofa.export.compare import Agreement, compare
from ofa.export.config import SUFFIXES, ExportConfig
from ofa.export.first import unlike_searched
from ofa.export.folding import at_resolution, trained_graph
from ofa.export.inputs import ExportInputs, open_inputs
from ofa.export.interface.ends import with_ends
from ofa.export.interface.opsets import check_onnx, not_run
from ofa.export.metadata import model_metadata
from ofa.export.model_file import float_model, safetensors_model, with_metadata, write_file
from ofa.export.quantize import quantised
from ofa.export.runtimes import NOT_RUN, runner, runs_here
from ofa.graph.untrained import UNTRAINED, untrained_model
from ofa.images.classes import class_numbers
from ofa.images.facts import ImageFacts
from ofa.images.files.names import shown
from ofa.images.preprocessing import IMAGENET
from ofa.images.reading import broken_lines, left_out_lines
from ofa.model_files.ends import Interface, Pixels
from ofa.model_files.lacking import PACKAGES, not_taken
from ofa.networks import PlainNetwork, calibrate_bn, extract
from ofa.networks.synthetic import prepared
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import open_network
from ofa.runs import system
from ofa.runs.places import check_writable

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
    notes = _Notes(watcher, warnings)
    if config.network is not None:
        return _untrained(config, config.network, notes)
    inputs = open_inputs(config)
    for line in (inputs.line, *left_out_lines(*inputs.folders)):
        if line:
            notes.note(line)
    for mark in inputs.images_facts.marks:
        notes.warn(mark)
    if line := unlike_searched(config, inputs.facts.get("search", {})):
        notes.warn(line)
    network = at_resolution(_network(inputs, notes), inputs.resolution)
    if config.format == "safetensors":
        model = _Model(safetensors_model(network, _metadata(inputs, network)))
    else:
        model = _runnable(inputs, network, notes)
    broken = tuple(broken_lines(*inputs.folders))
    write_file(inputs.out, model.content)
    return ExportResult(
        inputs.out,
        len(model.content),
        inputs.resolution,
        inputs.images_facts,
        model.float32,
        model.int8,
        tuple(warnings),
        broken,
    )


def _untrained(config: ExportConfig, name: str, notes: _Notes) -> ExportResult:
    """A network that is in no space, with random weights; it was run once."""
    network = open_network(name, config.resolution)
    network.require_file_size()
    _require_memory(network, config.batch or 1)
    facts = {"network": network.name, "source": network.source}
    assert config.batch is not None  # the config says so
    content = untrained_model(config.format, network.blocks, facts, batch=config.batch, seed=config.seed)
    resolution = network.resolution
    noise = torch.randn(1, 3, resolution, resolution, generator=torch.Generator().manual_seed(0)).numpy()
    if not np.isfinite(runner(config.format, content, config.batch)(noise)).all():
        notes.warn("its random weights give values that are not finite: give another --seed")
    notes.warn(UNTRAINED)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", network.name)
    out = config.out or Path("out/export", f"{stem}-r{resolution}{SUFFIXES[config.format]}")
    check_writable(out)
    write_file(out, content)
    images = ImageFacts(*IMAGENET, resolution=resolution, marks=(UNTRAINED,))
    return ExportResult(out, len(content), resolution, images, None, None, tuple(notes.warnings), ())


def _require_memory(network: BlockNetwork, batch: int) -> None:
    """InputError where what it computes at once is larger than this machine's memory: a file is run once."""
    needed, there = 4 * network.peak_elements * batch, system.memory_bytes()
    if there is not None and needed > there:
        raise InputError(
            f"{network.name} has {needed / 1e9:,.0f} GB of activations at once, and this machine {there / 1e9:,.0f} GB "
            "of memory, so the file could not be tried: give a lower --resolution or --batch, or fewer channels"
        )


@dataclass(frozen=True)
class _Notes:
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


def _metadata(inputs: ExportInputs, network: PlainNetwork) -> dict[str, str]:
    return model_metadata(
        network.spec,
        inputs.preprocessing,
        labels=inputs.labels,
        images=inputs.images_facts,
        facts=inputs.facts,
    )


def _runnable(inputs: ExportInputs, network: PlainNetwork, notes: _Notes) -> _Model:
    """A model that a runtime runs, compared with the network by that runtime; marked where that is not to be had."""
    config = inputs.config
    if not runs_here(config.format):
        notes.warn(NOT_RUN)
        marked = replace(inputs, images_facts=inputs.images_facts.marked(NOT_RUN))
        graph = trained_graph(network, batch=config.batch or 1)
        return _Model(float_model(config.format, graph, _metadata(marked, network)))
    numbers = _class_numbers(inputs, notes)
    content, ends = with_ends(config, _float(inputs, network, config.batch), inputs.preprocessing, int8=False)
    float32, int8 = _compared(inputs, network, (content, ends), numbers, notes, "float32"), None
    inputs.facts["float32"] = float32.to_dict()
    notes.note(f"float32: {float32}; logits within {float32.max_relative_error:.1e} of the largest")
    if not float32.max_relative_error < TOLERANCE:
        notes.warn(f"the model's logits differ from the network's by more than {TOLERANCE:g}: do not deploy it unseen")
    if config.int8:
        content, ends, inputs.facts["int8"], int8 = _quantised(inputs, network, numbers, notes)
        notes.note(f"int8: {int8}")
    inputs.facts.update(ends.to_metadata())
    metadata = _metadata(inputs, network)
    if config.format in ("torchscript", "coreml"):
        content = float_model(config.format, trained_graph(network, batch=config.batch or 1), metadata)
    else:
        content = with_metadata(config.format, content, metadata)
    if config.format == "onnx":
        check_onnx(content)
    return _Model(content, float32, int8)


def _float(inputs: ExportInputs, network: PlainNetwork, batch: int | None) -> bytes:
    """The float32 model of a batch size; of None, one for any."""
    config, graph = inputs.config, trained_graph(network, batch=batch or 1)
    return float_model(config.format, graph, opset=config.opset, any_batch=batch is None)


def _class_numbers(inputs: ExportInputs, notes: _Notes) -> list[int] | None:
    """The logit of every class of the images to compare on, None where it is not known; says what lacks."""
    if inputs.images.evaluation is None:
        return None
    folder = inputs.images.evaluation.folder
    numbers, line = class_numbers(folder, inputs.source.num_classes, inputs.known, inputs.labels, inputs.checkpoint)
    if line is not None:
        notes.warn(line)
    return numbers


def _network(inputs: ExportInputs, notes: _Notes) -> PlainNetwork:
    """The plain network, its batch normalisation calibrated where it comes from a supernet and there are images."""
    source, checkpoint = inputs.source, inputs.checkpoint
    if source.plain is not None:
        if not source.plain.spec.calibrated:
            notes.warn(
                f"{checkpoint} was never calibrated, its accuracy may be lost: export the sub-network from its "
                "supernet with --calibration DIR"
            )
        return source.plain.eval()
    assert source.supernet is not None
    assert source.subnet is not None
    stored = read_calibration(checkpoint)
    if inputs.images.calibration is not None:
        return _calibrated(inputs, notes)
    if stored is not None:
        facts = inputs.images_facts
        synthetic = prepared(stored, source.subnet.resolution, facts.mean, facts.std)
        inputs.facts["calibration"] = {"images": len(stored), "source": "synthetic images of the supernet's file"}
        notes.note(f"batch normalisation calibrated on the {len(stored)} synthetic images of {checkpoint}")
        return extract(source.supernet, source.subnet, calibrate_bn(source.supernet, source.subnet, [synthetic]))
    notes.warn(
        "batch normalisation is not calibrated: a supernet's own statistics fit no sub-network, and most of the "
        "accuracy may be lost. Give about 2,000 training images with --calibration DIR"
    )
    return extract(source.supernet, source.subnet)


def _calibrated(inputs: ExportInputs, notes: _Notes) -> PlainNetwork:
    """The sub-network, calibrated with the images that are given."""
    config, source, chosen, cut = inputs.config, inputs.source, inputs.images.calibration, inputs.cut
    assert source.supernet is not None
    assert source.subnet is not None
    assert chosen is not None
    assert config.calibration is not None
    done = notes.counted("calibrating batch normalisation", len(chosen))

    def batches() -> Iterator[torch.Tensor]:
        for images in cut.batches(chosen.batches(inputs.preprocessing, BATCH, strict=config.strict)):
            yield images
            done(len(images))

    statistics = calibrate_bn(source.supernet, source.subnet, batches())
    cut.check(statistics.images, config.calibration)  # without the broken ones
    inputs.facts["calibration"] = {
        "images": statistics.images,
        "source": config.calibration.name,
        "seed": config.seed,
    }
    notes.note(f"batch normalisation calibrated on {statistics.images} images of {shown(str(config.calibration))}")
    return extract(source.supernet, source.subnet, statistics)


def _quantised(
    inputs: ExportInputs, network: PlainNetwork, known: Sequence[int] | None, notes: _Notes
) -> tuple[bytes, Interface, dict[str, Any], Agreement]:
    """The int8 model, what it takes and gives, what its metadata says of it, and how far it agrees with the network."""
    config, images = inputs.config, inputs.images
    assert images.calibration is not None
    batches = images.calibration.batches(inputs.preprocessing, BATCH, limit=INT8_IMAGES, strict=config.strict)
    shown = [batch for batch, _ in batches]
    count = sum(map(len, shown))  # without the broken ones
    notes.note(f"quantising with {count} images")
    graph, any_batch = trained_graph(network, batch=config.batch or 1), config.batch is None
    written = quantised(config.format, graph, shown, opset=config.opset, any_batch=any_batch, integers=config.int8_io)
    content, ends = with_ends(config, written, inputs.preprocessing, int8=True)
    if images.shared:
        notes.warn("int8 is compared on the images it was calibrated with: give others with --evaluate DIR")
    agreement = _compared(inputs, network, (content, ends), known, notes, "int8")
    facts = {**agreement.to_dict(), "calibration_images": count, "quantizer": f"ofa-latency {__version__}"}
    return content, ends, facts, agreement


def _compared(
    inputs: ExportInputs,
    network: PlainNetwork,
    model: tuple[bytes, Interface],
    known: Sequence[int] | None,
    notes: _Notes,
    kind: str,
) -> Agreement:
    """Network and model on the images to compare on, or on 8 random ones where there are none."""
    config, chosen, r = inputs.config, inputs.images.evaluation, network.spec.resolution
    content, ends = model
    try:
        run = runner(config.format, content, config.batch, ends)
    except Exception as error:  # runtimes raise what they like
        if config.opset is not None:
            raise not_run(config.opset, error) from None
        if config.format in PACKAGES and (why := not_taken(error, config.format)):
            of = "int8 network" if config.int8 else "network"
            raise InputError(f"the {of} was not written to {config.out}, since it does not run here: {why}") from None
        raise
    if chosen is None:
        noise = torch.randn(8, 3, r, r, generator=torch.Generator().manual_seed(0))
        if isinstance(ends.given, Pixels):  # what pixels can be
            noise = prepared(((noise + 3) / 6 * 255).clamp(0, 255).byte(), r, ends.given.mean, ends.given.std)
        return compare(network, run, [(noise, torch.full((8,), -1))])
    batches = chosen.batches(inputs.preprocessing, BATCH, strict=config.strict)
    return compare(network, run, batches, known, notes.counted(f"comparing {kind} with the network", len(chosen)))
