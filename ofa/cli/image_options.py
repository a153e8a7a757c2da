"""Options of the commands that prepare images for a network, and calibrate it: the same words everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ofa.cli.console import tell as tell
from ofa.errors import InputError

if TYPE_CHECKING:
    from ofa.networks.calibrate import Calibrating


def add_preprocessing(add: Callable[..., Any]) -> None:
    """--mean, --std and --override-preprocessing, to a parser's or a group's `add_argument`."""
    add(
        "--mean",
        metavar="M",
        help="imagenet, half, or numbers such as 0.5,0.5,0.5 (default: the checkpoint's, else ImageNet's)",
    )
    add("--std", metavar="S", help="the same (default: the checkpoint's, or what goes with --mean)")
    add(
        "--override-preprocessing",
        action="store_true",
        help="take --mean and --std although the checkpoint was trained with others, and mark the result",
    )


def add_calibrating(add: Callable[..., Any]) -> None:
    """--calibration-batch and --allow-poor-calibration, to a parser's or a group's `add_argument`."""
    add(
        "--calibration-batch",
        type=int,
        default=64,
        metavar="N",
        help="images at a time while batch normalisation is calibrated (default 64)",
    )
    add(
        "--allow-poor-calibration",
        action="store_true",
        help="calibrate with fewer than 64 images, or in batches under 16, and mark the result",
    )


def calibrating(args: argparse.Namespace) -> Calibrating:
    """What `add_calibrating`'s options say."""
    from ofa.networks.calibrate import Calibrating

    if args.calibration_batch < 1:
        raise InputError(f"--calibration-batch is {args.calibration_batch}, expected at least 1")
    return Calibrating(args.calibration_batch, args.allow_poor_calibration)


def add_split(add: Callable[..., Any]) -> None:
    """--split and --allow-training-images, to a parser's or a group's `add_argument`."""
    add(
        "--split",
        metavar="NAME",
        help="train, val, test; held-out: what training held out; all, where there are no such folders (default: val "
        "where there is one; held-out where these images were trained on; else all)",
    )
    add(
        "--allow-training-images",
        action="store_true",
        help="evaluate on images that were trained on, and mark the result",
    )
