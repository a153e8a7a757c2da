"""How all drawings of a report look: colours of the page, so that they turn dark with it, and one typeface.

Colours are names of the page's stylesheet. Blue, orange and grey are told apart by people who are colour-blind; nothing
is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, MUTED, RULE, PAGE = "var(--ink)", "var(--muted)", "var(--rule)", "var(--page)"
FOUND, MEASURED, REFERENCE = "var(--found)", "var(--measured)", "var(--reference)"
SERIES = (FOUND, MEASURED, "var(--third)", "var(--fourth)")
SMALL = 11  # pixels

Spec = dict[str, Any]

_CONTAINER = "max(260, isFinite(containerSize()[0]) ? containerSize()[0] : 700)"


def vega(
    description: str,
    height: int | str,
    *,
    signals: Sequence[Spec] = (),
    data: Sequence[Spec] = (),
    scales: Sequence[Spec] = (),
    axes: Sequence[Spec] = (),
    marks: Sequence[Spec] = (),
    bare: bool = False,
    right: int = 10,
) -> Spec:
    """A specification as wide as its place on the page.

    description: in words, for who cannot see it; height: pixels, or an expression of `width`
    bare: without axes, so that nothing is around it; right: pixels beside the plot
    """
    size = [
        {"name": "width", "init": _CONTAINER, "on": [{"update": _CONTAINER, "events": "window:resize"}]},
        {"name": "narrow", "update": "width < 480"},
    ]
    spec: Spec = {
        "$schema": "https://vega.github.io/schema/vega/v6.json",
        "description": description,
        "autosize": "none" if bare else {"type": "fit-x", "contains": "padding"},
        "padding": 0 if bare else {"left": 2, "right": right, "top": 6, "bottom": 2},
        "signals": [*size, *signals],
        "data": list(data),
        "scales": list(scales),
        "axes": list(axes),
        "marks": list(marks),
        "config": _config(),
    }
    if isinstance(height, int):
        return {**spec, "height": height}
    spec["signals"].append({"name": "height", "update": height})
    return spec


def _config() -> Spec:
    quiet = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": SMALL + 1, "titleFontSize": SMALL + 1}
    return {
        "background": "transparent",
        "text": {"font": FONT, "fontSize": SMALL + 1, "fill": INK},
        "axis": {
            **quiet,
            "labelColor": MUTED,
            "titleColor": MUTED,
            "titleFontWeight": "normal",
            "domainColor": RULE,
            "tickColor": RULE,
            "gridColor": RULE,
            "tickSize": 4,
            "labelPadding": 4,
            "titlePadding": 8,
        },
        "axisY": {"domain": False, "ticks": False, "grid": True},
        "style": {},
    }


def y_title(text: str) -> Spec:
    """The title of the upright axis, read without turning one's head: above it, at its left end."""
    return {
        "type": "text",
        "interactive": False,
        "encode": {
            "enter": {
                "text": {"value": text},
                "fill": {"value": MUTED},
                "x": {"value": -30},
                "y": {"value": -22},
                "fontSize": {"value": SMALL + 1},
            }
        },
    }


def band(most: float) -> list[Spec]:
    """What is off by no more than so many per cent, on both sides, in words too. Of the scales width and y."""
    y = {"scale": "y", "value": most}
    return [
        {
            "type": "rect",
            "interactive": False,
            "encode": encoded(
                x=0, x2={"signal": "width"}, y=y, y2={"scale": "y", "value": -most}, fill=RULE, fillOpacity=0.5
            ),
        },
        {
            "type": "text",
            "interactive": False,
            "encode": encoded(
                x={"signal": "width - 4"},
                y=y,
                dy=-4,
                text=f"within {most:g} %",
                align="right",
                fill=MUTED,
                fontSize=SMALL,
            ),
        },
    ]


def limit_signal(slider: str, start: float, step: float) -> list[Spec]:
    """The page's slider as a number, `limit`; a click on what is called "hit" moves it.

    slider: its id on the page; start: what it stands at; step: what it moves by
    """
    onto = f"ceil(round(1e6 * datum.c / {step:.12g}) / 1e6) * {step:.12g}"
    return [
        {
            "name": "asked",
            "value": start,
            "bind": {"element": f"#{slider}", "event": "input"},
            "on": [{"events": "@hit:click", "update": onto}],
        },
        {"name": "limit", "update": f"toNumber(asked) + {step / 1000:.12g}"},
    ]


def chosen_of(source: str) -> Spec:
    """The most accurate row within the limit, as data "chosen". Rows have c, what they cost, and a, the accuracy."""
    return {
        "name": "chosen",
        "source": source,
        "transform": [
            {"type": "filter", "expr": "datum.c <= limit"},
            {"type": "window", "ops": ["row_number"], "as": ["place"], "sort": _best_first()},
            {"type": "filter", "expr": "datum.place === 1"},
        ],
    }


def _best_first() -> Spec:
    return {"field": ["a", "c"], "order": ["descending", "ascending"]}


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of an axis that is logarithmic, at most six: 1, 2, 5, 10, or more where that is few."""
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1,)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [round(step * 10.0**power, 12) for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 6:
            return ticks
    return ticks


def encoded(**channels: Any) -> Mapping[str, Any]:
    """An encoding that follows all signals: {"update": channels}, plain values as {"value": v}."""
    return {"update": {k: v if isinstance(v, dict) else {"value": v} for k, v in channels.items()}}
