"""Training curves: accuracy and loss, epoch by epoch, named at their ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ofa.report.charts.theme import MUTED, RULE, SERIES, SMALL, Spec, encoded, vega, y_title
from ofa.report.inputs.curves import Curve, TrainingRun

MOST_POINTS = 400  # of a line
MOST_CURVES = 6
APART = 0.085  # of the height of a plot: a line of text
NAMES = {"train": "training", "val": "validation"}


def top1_chart(run: TrainingRun) -> Spec:
    """Per cent of held-out images, and of those trained on."""
    return _chart(run, run.top1, "top-1, %", "accuracy")


def loss_chart(run: TrainingRun) -> Spec:
    """Mean over the images."""
    return _chart(run, run.loss, "loss, nats", "loss")


def _chart(run: TrainingRun, curves: Sequence[Curve], title: str, what: str) -> Spec:
    curves = curves[:MOST_CURVES]
    rows = [
        {"n": i, "e": epoch, "v": value} for i, curve in enumerate(curves) for epoch, value in _thinned(curve.points)
    ]
    values = [value for curve in curves for _, value in curve.points]
    pad = 0.05 * (max(values) - min(values)) or 1.0
    domain = [min(values) - pad, max(values) + pad]
    ends = _ends(curves, domain)
    return vega(
        f"The {what} over {run.epochs} epochs: " + "; ".join(f"{end['name']} ends at {end['v']:.4g}" for end in ends),
        "narrow ? 200 : 240",
        right=110,
        data=[
            {"name": "rows", "values": rows},
            {"name": "ends", "values": ends},
            {"name": "stages", "values": _begins(run)},
        ],
        scales=[
            {"name": "x", "range": "width", "domain": [0, max(run.epochs, 2)]},
            {"name": "y", "range": "height", "domain": domain, "zero": False},
            {"name": "colour", "type": "ordinal", "domain": list(range(len(curves))), "range": list(SERIES)},
        ],
        axes=[
            {"orient": "left", "scale": "y", "tickCount": 5, "format": ".4~g"},
            {"orient": "bottom", "scale": "x", "title": "epoch", "tickCount": 6, "format": "d"},
        ],
        marks=[
            y_title(title),
            *(_stages() if len(run.stages) > 1 else ()),
            *_lines(),
        ],
    )


def _lines() -> list[Spec]:
    """One a curve, dashed and solid in turn, and their names."""
    colour = {"scale": "colour", "field": "n"}
    line = {
        "type": "line",
        "from": {"data": "line"},
        "encode": encoded(
            x={"scale": "x", "field": "e"},
            y={"scale": "y", "field": "v"},
            stroke=colour,
            strokeWidth=1.75,
            strokeDash={"signal": "datum.n % 2 ? [5, 3] : [1, 0]"},
        ),
    }
    name = {
        "type": "text",
        "from": {"data": "ends"},
        "encode": encoded(
            x={"signal": "width + 8"},
            y={"scale": "y", "field": "at"},
            text={"signal": "datum.name + ' ' + format(datum.v, '.3r')"},
            fill=colour,
            baseline="middle",
            fontSize=SMALL + 1,
            fontWeight=600,
        ),
    }
    return [
        {"type": "group", "from": {"facet": {"name": "line", "data": "rows", "groupby": "n"}}, "marks": [line]},
        name,
    ]


def _stages() -> list[Spec]:
    """Where a stage begins, with its name."""
    x = {"scale": "x", "field": "e"}
    return [
        {
            "type": "rule",
            "from": {"data": "stages"},
            "encode": encoded(x=x, y=0, y2={"signal": "height"}, stroke=RULE),
        },
        {
            "type": "text",
            "from": {"data": "stages"},
            "encode": encoded(
                x=x,
                y={"signal": "height - 5"},
                dx=3,
                # no room, no name
                text={"signal": "scale('x', datum.to - datum.e) > 6 * length(datum.name) + 4 ? datum.name : ''"},
                fill=MUTED,
                fontSize=SMALL - 1,
            ),
        },
    ]


def _begins(run: TrainingRun) -> list[Spec]:
    """Of each stage: its name, the epochs before it, and before the next one."""
    begins = [*run.stages, ("", run.epochs)]
    return [{"name": name, "e": before, "to": end} for (name, before), (_, end) in itertools.pairwise(begins)]


def _ends(curves: Sequence[Curve], domain: Sequence[float]) -> list[Spec]:
    """Names for the ends of lines, one below the other: as far apart as a line of text is high."""
    apart = APART * (domain[1] - domain[0])
    ends: list[Spec] = [
        {"n": i, "name": NAMES.get(curve.name, curve.name), "v": curve.points[-1][1], "at": curve.points[-1][1]}
        for i, curve in enumerate(curves)
    ]
    ends.sort(key=lambda end: -end["at"])
    for i in range(1, len(ends)):
        ends[i]["at"] = min(ends[i]["at"], ends[i - 1]["at"] - apart)
    for i, end in enumerate(reversed(ends)):  # what is below the plot moves up
        end["at"] = max(end["at"], domain[0] + i * apart)
    return ends


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS, the last one among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[i * (len(points) - 1) // (MOST_POINTS - 1)] for i in range(MOST_POINTS)]
