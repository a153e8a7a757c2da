"""`python -m ofa.export`: a search's result and a trained supernet become a model file to deploy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, progress_bar, spelled
from ofa.cli.run import run
from ofa.export.config import DYNAMIC, ExportConfig
from ofa.export.first import check_first

COMMAND = Command("ofa.export", ExportConfig, example="--subnet out/search/result.json --format onnx --out net.onnx")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    check_first(config)
    # torch takes seconds to load, which --help need not, and many a mistake
    from ofa.export.run import ExportWatcher, export_model

    console = make_console()

    def note(line: str) -> None:
        console.print(line, soft_wrap=True)

    def warn(text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    with progress_bar(console) as bar:
        result = export_model(config, ExportWatcher(note, warn, bar.show))
    for line in result.broken:
        print(line, file=sys.stderr)
    shape = "weights and architecture" if config.format == "safetensors" else f"batch {config.batch or DYNAMIC}"
    kind = "int8" if config.int8 else "float32"
    size = f"{result.size_bytes / 1e6:.2f} MB"
    note(f"wrote {result.path}: {config.format}, {kind}, {shape}, {result.resolution} px, {size}")
    if config.network is None:
        note(next_step(config.format, result.path))
    return 0


def next_step(format_name: str, out: Path) -> str:
    """What to do with the file."""
    if format_name in ("onnx", "tflite"):
        return f"next: try it: {spelled('ofa.predict', 'PHOTO', '--model', out)}; labels and preprocessing are in it"
    how = {
        "coreml": f"coremltools.models.MLModel({str(out)!r}).predict({{'input': images}}), on a Mac",
        "torchscript": f"torch.jit.load({str(out)!r})(images)",
        "safetensors": f"ofa.checkpoints.weights.load_network({str(out)!r})(images)",
    }[format_name]
    return f"next: run it with {how}; labels and preprocessing are in its metadata"


if __name__ == "__main__":
    run(main)
