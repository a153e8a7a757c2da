"""What python -m ofa.export does: reads, calibrates, writes the model, compares it with the network, says so."""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from ofa.cli.image_options import calibrating, tell
from ofa.errors import InputError
from ofa.export.compare import Agreement, compare
from ofa.export.images import ImagePlan, class_numbers, plan_images
from ofa.export.metadata import Preprocessing, check_order, model_metadata, read_labels
from ofa.export.model_file import (
    LAYOUTS,
    SUFFIXES,
    check_writable,
    float_model,
    safetensors_model,
    with_metadata,
    write_file,
)
from ofa.export.quantize import check_quantizer, quantize, quantizer_version
from ofa.export.runtimes import runner
from ofa.export.source import NamedSubnet, Source, load_source, read_subnet, shipped_checkpoint
from ofa.export.trained import at_resolution, trained_graph
from ofa.images.facts import ImageFacts
from ofa.images.preprocessing import decided
from ofa.images.reading import broken_lines, left_out_lines
from ofa.networks import PlainNetwork, calibrate_bn, extract
from ofa.networks.checkpoint import read_calibration, read_image_facts, read_metadata
from ofa.networks.synthetic import prepared

INT8_IMAGES = 200
BATCH = 50  # images at a time while calibrating and comparing
TOLERANCE = 1e-4  # of a float model's logits, relative to the largest: far above rounding, far below a wrong layer


def export(args: argparse.Namespace) -> int:
    """Runs the command with parsed arguments; InputError where something given is wrong."""
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    _check_arguments(args)
    named = _named(args)
    args.checkpoint = args.checkpoint or shipped_checkpoint(named, args.space)
    source = load_source(args.checkpoint, named, space_name=args.space, resolution=args.resolution)
    classes, resolution = _shape(source, args.resolution)
    known = read_image_facts(args.checkpoint)
    prepared_as, line = decided(
        known, args.mean, args.std, override=args.override_preprocessing, source=args.checkpoint
    )
    labels = read_labels(args.labels, classes) if args.labels else read_stored_labels(args.checkpoint, prepared_as)
    check_order(labels, prepared_as.classes, args.labels)
    out = args.out or _default_out(args, source, resolution)
    check_writable(out)
    counts = (args.calibration_images, args.evaluate_images)
    images = plan_images(args.calibration, args.evaluate, counts, args.seed, known, args.checkpoint)
    prepared_as = _of_this_export(args, prepared_as, images, labels, resolution)
    folders = [chosen.folder for chosen in (images.calibration, images.evaluation) if chosen is not None]
    tell(console, [line, *left_out_lines(*folders)], prepared_as.marks)
    args.mean, args.std = prepared_as.mean, prepared_as.std
    preprocessing = _preprocessing(args, resolution)
    facts: dict[str, Any] = {"checkpoint": _fingerprint(args.checkpoint)}
    if named is not None and named.facts:
        facts["search"] = named.facts
    network = _network(args, source, images, console, facts)
    network = at_resolution(network, resolution)

    if args.format == "safetensors":
        metadata = model_metadata(network.spec, preprocessing, labels=labels, images=prepared_as, facts=facts)
        content = safetensors_model(network, metadata)
    else:
        numbers = _class_numbers(args, images, classes, known, labels)
        graph = trained_graph(network, batch=args.batch)
        content = float_model(args.format, graph)
        agreement = _compared(args, network, content, images, numbers, console, "float32")
        facts["float32"] = agreement.to_dict()
        console.print(
            f"float32: {agreement}; logits within {agreement.max_relative_error:.1e} of the largest", soft_wrap=True
        )
        if not agreement.max_relative_error < TOLERANCE:
            _warn(f"the model's logits differ from the network's by more than {TOLERANCE:g}: do not deploy it unseen")
        if args.int8:
            content, facts["int8"], agreement = _quantised(args, network, images, numbers, console)
            console.print(f"int8: {agreement}", soft_wrap=True)
        metadata = model_metadata(network.spec, preprocessing, labels=labels, images=prepared_as, facts=facts)
        if args.format == "torchscript":
            content = float_model(args.format, graph, metadata)
        else:
            content = with_metadata(args.format, content, metadata)
    for broken in broken_lines(*folders):
        print(broken, file=sys.stderr)
    write_file(out, content)
    shape = "weights and architecture" if args.format == "safetensors" else f"batch {args.batch}"
    kind = "int8" if args.int8 else "float32"
    console.print(
        f"wrote {out}: {args.format}, {kind}, {shape}, {resolution} px, {len(content) / 1e6:.2f} MB", soft_wrap=True
    )
    console.print(_next_step(args.format, out), soft_wrap=True)
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    if args.subnet is None and (args.index is not None or args.limit is not None):
        raise InputError("--index and --limit choose from a result.json: give it with --subnet")
    if args.limit is not None and not (math.isfinite(args.limit) and args.limit > 0):
        raise InputError(f"--limit is {args.limit}, expected milliseconds above 0")
    if args.resolution is not None and not 32 <= args.resolution <= 1024:
        raise InputError(f"--resolution is {args.resolution}, expected 32 to 1024 pixels")
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}, expected 0 or more")
    if args.int8:
        check_quantizer(args.format)
        if args.calibration is None:
            raise InputError("--int8 takes its ranges from real images: give a folder or zip with --calibration")
    if args.out is not None:
        check_writable(args.out)


def _preprocessing(args: argparse.Namespace, resolution: int) -> Preprocessing:
    return Preprocessing(resolution, LAYOUTS[args.format], args.mean, args.std)


def _named(args: argparse.Namespace) -> NamedSubnet | None:
    return None if args.subnet is None else read_subnet(args.subnet, index=args.index, limit_ms=args.limit)


def _of_this_export(
    args: argparse.Namespace, known: ImageFacts, images: ImagePlan, labels: Sequence[str], resolution: int
) -> ImageFacts:
    """What the exported file will know of its images, marked; InputError where there are too few to calibrate with."""
    if images.calibration is not None:
        known = known.marked(calibrating(args).check(len(images.calibration), args.calibration))
    if images.evaluation is not None:
        known = known.marked(images.evaluation.mark)
    unlike = len(set(labels)) == len(labels)
    return replace(known, resolution=resolution, classes=known.classes or (tuple(labels) if unlike else ()))


def _class_numbers(
    args: argparse.Namespace, images: ImagePlan, classes: int, known: ImageFacts | None, labels: Sequence[str]
) -> list[int] | None:
    """The logit of every class of the images to compare on, None where it is not known; says what lacks."""
    if images.evaluation is None:
        return None
    numbers, line = class_numbers(images.evaluation.folder, classes, known, labels, args.checkpoint)
    if line is not None:
        _warn(line)
    return numbers


def read_stored_labels(checkpoint: Path, known: ImageFacts) -> Sequence[str]:
    """The class names that a model exported before was given, else those of its training; none if neither is known."""
    stored = "" if checkpoint.is_dir() else read_metadata(checkpoint).get("labels", "")
    return stored.split("\n") if stored else known.classes


def _shape(source: Source, resolution: int | None) -> tuple[int, int]:
    """(classes, resolution) of what will be exported."""
    if source.supernet is not None and source.subnet is not None:
        return source.supernet.space.num_classes, source.subnet.resolution
    assert source.plain is not None
    return source.plain.spec.num_classes, resolution or source.plain.spec.resolution


def _default_out(args: argparse.Namespace, source: Source, resolution: int) -> Path:
    name = source.supernet.space.name if source.supernet is not None else args.checkpoint.stem
    return Path("out/export", f"{name}-r{resolution}{'-int8' if args.int8 else ''}{SUFFIXES[args.format]}")


def _network(
    args: argparse.Namespace, source: Source, images: ImagePlan, console: Console, facts: dict[str, Any]
) -> PlainNetwork:
    """The plain network, its batch normalisation calibrated where it comes from a supernet and there are images."""
    if source.plain is not None:
        if not source.plain.spec.calibrated:
            _warn(
                f"{args.checkpoint} was never calibrated, its accuracy may be lost: export the sub-network from its "
                "supernet with --calibration DIR"
            )
        return source.plain.eval()
    assert source.supernet is not None
    assert source.subnet is not None
    stored = read_calibration(args.checkpoint)
    if images.calibration is None and stored is not None:
        synthetic = prepared(stored, source.subnet.resolution, args.mean, args.std)
        facts["calibration"] = {"images": len(stored), "source": "synthetic images of the supernet's file"}
        console.print(f"batch normalisation calibrated on the {len(stored)} synthetic images of {args.checkpoint}")
        return extract(source.supernet, source.subnet, calibrate_bn(source.supernet, source.subnet, [synthetic]))
    if images.calibration is None:
        _warn(
            "batch normalisation is not calibrated: a supernet's own statistics fit no sub-network, and most of the "
            "accuracy may be lost. Give about 2,000 training images with --calibration DIR"
        )
        return extract(source.supernet, source.subnet)
    chosen, preprocessing = images.calibration, _preprocessing(args, source.subnet.resolution)
    with _progress(console, "calibrating batch normalisation", len(chosen)) as done:

        def batches() -> Iterator[torch.Tensor]:
            read = chosen.batches(preprocessing, BATCH, strict=args.strict)
            for prepared in calibrating(args).batches(read):
                yield prepared
                done(len(prepared))

        statistics = calibrate_bn(source.supernet, source.subnet, batches())
    calibrating(args).check(statistics.images, args.calibration)  # without the broken ones
    facts["calibration"] = {"images": statistics.images, "source": args.calibration.name, "seed": args.seed}
    console.print(f"batch normalisation calibrated on {statistics.images} images of {args.calibration}", soft_wrap=True)
    return extract(source.supernet, source.subnet, statistics)


def _quantised(
    args: argparse.Namespace, network: PlainNetwork, images: ImagePlan, known: list[int] | None, console: Console
) -> tuple[bytes, dict[str, Any], Agreement]:
    """The int8 model, what its metadata says of it, and how far it agrees with the network."""
    assert images.calibration is not None
    limit = min(max(INT8_IMAGES, args.batch), len(images.calibration))
    console.print(f"quantising with {limit} images", soft_wrap=True)
    preprocessing = _preprocessing(args, network.spec.resolution)
    chosen = images.calibration.batches(preprocessing, BATCH, limit=limit, strict=args.strict)
    prepared = torch.cat([batch for batch, _ in chosen]).numpy()

    def write(batch: int) -> bytes:
        return float_model(args.format, trained_graph(network, batch=batch))

    content = quantize(args.format, write, prepared, args.batch)
    if images.shared:
        _warn("int8 is compared on the images it was calibrated with: give others with --evaluate DIR")
    agreement = _compared(args, network, content, images, known, console, "int8")
    facts = {**agreement.to_dict(), "calibration_images": len(prepared), "quantizer": quantizer_version(args.format)}
    return content, facts, agreement


def _compared(
    args: argparse.Namespace, network: PlainNetwork, model: bytes, images: ImagePlan, known: list[int] | None,
    console: Console, kind: str,
) -> Agreement:  # fmt: skip
    """Network and model on the images to compare on, or on 8 random ones where there are none."""
    run, r = runner(args.format, model, args.batch), network.spec.resolution
    if images.evaluation is None:
        noise = torch.randn(8, 3, r, r, generator=torch.Generator().manual_seed(0))
        return compare(network, run, [(noise, torch.full((8,), -1))])
    with _progress(console, f"comparing {kind} with the network", len(images.evaluation)) as done:
        batches = images.evaluation.batches(_preprocessing(args, r), BATCH, strict=args.strict)
        return compare(network, run, batches, known, done)


@contextmanager
def _progress(console: Console, text: str, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=total)
        yield lambda count: bar.advance(task, count)


def _fingerprint(checkpoint: Path) -> dict[str, str]:
    """Name and SHA-256 of a checkpoint file, the name of a folder."""
    if checkpoint.is_dir():
        return {"name": checkpoint.name}
    with checkpoint.open("rb") as file:
        return {"name": checkpoint.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _next_step(format_name: str, out: Path) -> str:
    """What to do with the file."""
    run = {
        "onnx": f"onnxruntime.InferenceSession({str(out)!r}).run(None, {{'input': images}})",
        "tflite": f"ai_edge_litert.interpreter.Interpreter({str(out)!r})",
        "torchscript": f"torch.jit.load({str(out)!r})(images)",
        "safetensors": f"ofa.networks.checkpoint.load_network({str(out)!r})(images)",
    }[format_name]
    return f"next: run it with {run}; labels and preprocessing are in its metadata"
