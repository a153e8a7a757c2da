"""python -m ofa.export: a search's result and a trained supernet become a model file to deploy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ofa.cli.image_options import add_calibrating, add_preprocessing

EXAMPLE = """example, from a search to a phone:
  python -m ofa.search --table note10 --latency 20 --out out/search
  python -m ofa.export --subnet out/search/result.json --checkpoint ofa_mbv3_d234_e346_k357_w1.2 \\
      --format tflite --int8 --calibration imagenet/train --labels labels.txt --out out/note10-20ms.tflite

exit codes: 0 written, 1 something given is wrong, 2 no result meets --limit or wrong usage, 130 stopped"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.export", description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parsed.add_argument
    add("--checkpoint", type=Path, metavar="W",
        help="a supernet (ours or MIT's), or a specialised network: its folder or .safetensors (default: the supernet "
        "that is shipped for the sub-network's space)")  # fmt: skip
    add("--format", required=True, choices=("onnx", "tflite", "torchscript", "safetensors"))
    add("--subnet", type=Path, metavar="FILE",
        help="result.json of ofa.search, a sub-network as JSON, or MIT's dict; for a supernet")  # fmt: skip
    which = parsed.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, metavar="N", help="which result of result.json (default 0)")
    which.add_argument("--limit", type=float, metavar="MS", help="the result for this latency limit")
    add("--space", metavar="NAME", help="the search space, where no file says it, such as mbv3-w1.0")
    add("--out", type=Path, metavar="FILE", help="default: out/export/<space>-<format, resolution>")
    add("--batch", type=_positive, default=1, metavar="N", help="images a call (default 1)")
    add("--resolution", type=_positive, metavar="R", help="side of the images in pixels (default: the sub-network's)")
    add("--calibration", type=Path, metavar="DIR",
        help="images, a folder or zip, to calibrate batch normalisation and int8 with (default: synthetic ones, if the "
        "supernet's file holds any)")  # fmt: skip
    add("--calibration-images", type=_positive, default=2000, metavar="N",
        help="how many for batch normalisation (default 2000); int8 takes the first 200")  # fmt: skip
    add("--int8", action="store_true", help="static quantisation to int8: onnx and tflite")
    add("--evaluate", type=Path, metavar="DIR",
        help="images to compare on (default: those of --calibration that it does not calibrate with)")  # fmt: skip
    add("--evaluate-images", type=_positive, default=500, metavar="N", help="how many (default 500)")
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class names in the order of the logits, text lines or JSON (default: the checkpoint's, if it says)",
    )
    add_preprocessing(add)
    add_calibrating(add)
    add("--strict", action="store_true", help="fail at a broken image rather than skip it")
    add("--seed", type=int, default=0, help="for the choice of images (default 0)")
    return parsed


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; InputError where something given is wrong."""
    args = parser().parse_args(argv)
    # torch takes seconds to load, which --help need not
    from ofa.export.command import export

    return export(args)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
