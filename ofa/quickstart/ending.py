"""What a run says at its end: what it wrote, how good that is, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.quickstart.config import QuickstartConfig
from ofa.quickstart.plan import COLLECT, TRAIN
from ofa.quickstart.state import QuickstartState
from ofa.quickstart.steps import Places, chosen
from ofa.reading.numbers import MILLISECONDS, PERCENT, PIXELS, Bounds
from ofa.reading.structured import read_json

IMAGES = Bounds(1, 10**9, "images")


def ending(config: QuickstartConfig, state: QuickstartState, places: Places) -> list[str]:
    """Lines for the user; InputError where a file is not as its command writes it."""
    try:
        return [*_written(places), "", *_accuracy(state, places), "", *_next(config, places)]
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        names = f"{places.found()} or {places.evaluation}"
        why = type(error).__name__
        raise InputError(f"{names} is not as this version writes it ({why}): remove it, and --resume") from None


def interval(top1: float, images: int) -> tuple[float, float]:
    """95 % interval (%) of a share (%) of so many images (Wilson 1927)."""
    z, p = 1.96, top1 / 100
    middle = (p + z * z / (2 * images)) / (1 + z * z / images)
    half = z * math.sqrt(p * (1 - p) / images + z * z / (4 * images * images)) / (1 + z * z / images)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def _written(places: Places) -> list[str]:
    result = _best(places)
    measured = places.found() == places.verified
    how = "measured" if measured else "as the sum of its blocks, not measured"
    latency = MILLISECONDS.check("latency_ms", result.get("latency_ms"))
    resolution = PIXELS.whole("resolution", result.get("subnet", {}).get("resolution"))
    lines = [f"{places.network}: the network, for images of {resolution} px; {latency:.3g} ms on this CPU, {how}"]
    if places.report.exists():
        lines.append(f"{places.report}: a page of all that was found, to open in a browser")
    lines.append(f"{places.out}: also the supernet, the accuracy predictor, and the latency table of this machine")
    return lines


def _accuracy(state: QuickstartState, places: Places) -> list[str]:
    """How accurate the network is, and what that is worth."""
    found = read_json(places.evaluation)["results"][0]
    top1, images = PERCENT.check("top1", found["top1"]), IMAGES.whole("images", found["images"])
    counted = [IMAGES.whole("images", figures["images"]) for figures in found["per_class"].values()]
    (low, high), most = interval(top1, images), max(counted)
    trained = state.plan.trained(state.photos)
    return [
        f"It is right on {top1:.1f} % of {images} photographs that were not trained on (95 % interval: {low:.0f} to "
        f"{high:.0f} %). Guessing the most frequent class every time is right on {100 * most / images:.0f} %.",
        *(
            ["So the network may only be guessing: it needs more photographs, or more --minutes."]
            if low <= 100 * most / images
            else ["The network was also chosen by these photographs, so on new ones it will be somewhat worse."]
        ),
        f"This is a toy: {trained} photographs, {state.plan.epochs} epochs, {_minutes(state.done.get(TRAIN, 0))} of "
        f"training, the accuracy of {state.plan.subnets} networks in {_minutes(state.done.get(COLLECT, 0))}.",
        *(
            ["Its weights began as those of the shipped supernet, which was trained on Imagenette, a part of ImageNet: "
             "see ImageNet's terms before you publish it, or start again with --from-scratch."]
            if state.plan.learnt
            else []
        ),
    ]  # fmt: skip


def _next(config: QuickstartConfig, places: Places) -> list[str]:
    longer = spelled("ofa.quickstart", config.images, "--minutes", 120, "--out", f"{places.out}-longer")
    search = (
        "--table",
        places.table,
        "--predictor",
        places.predictor,
        "--latency",
        "MS",
        "--out",
        places.out / "other",
    )
    return [
        "next:",
        f"  try it:                  {spelled('ofa.predict', 'PHOTO', '--model', places.network)}",
        f"  a network for a limit:   {spelled('ofa.search', *search)}",
        f"  another device:          {spelled('profilers.android', '--help')} (or linux, gpu), then search again",
        f"  more time:               {longer}",
    ]


def _best(places: Places) -> Mapping[str, Any]:
    """The result that was exported."""
    file = places.found()
    results = read_json(file).get("results")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise InputError(f"{file} has no results")
    best: Mapping[str, Any] = results[chosen(file)]
    return best


def _minutes(seconds: float) -> str:
    """ "40 s" or "3 min" """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
