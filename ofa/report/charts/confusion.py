"""Which classes a network takes for which: a matrix whose rows are the true classes."""

from __future__ import annotations

from collections.abc import Mapping

from ofa.report.charts.theme import FOUND, INK, MEASURED, MUTED, RULE, SMALL, Spec, encoded, vega

MOST_CLASSES = 40  # of a matrix that can be read; of more, the page lists the pairs that are mixed up most
MOST_COUNTED = 20  # classes up to which cells have room for their counts
LONGEST = 18  # characters of a class's name


def confusion_chart(name: str, confusion: Mapping[str, Mapping[str, int]]) -> Spec:
    """confusion: {true class: {predicted class: images}}, of at most 40 classes"""
    classes = classes_of(confusion)
    cells = [
        {"t": classes.index(true), "p": classes.index(predicted), "n": count, "of": sum(row.values()), "tip": tip}
        for true, row in confusion.items()
        for predicted, count in row.items()
        if (tip := {"True class": true, "Taken for": predicted, "Images": f"{count} of {sum(row.values())}"})
    ]
    side = "(min(width, 620) - 118)"
    names = [
        {"i": i, "name": name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"} for i, name in enumerate(classes)
    ]
    counted = len(classes) <= MOST_COUNTED
    at = {"xc": {"scale": "x", "field": "p", "band": 0.5}, "yc": {"scale": "y", "field": "t", "band": 0.5}}
    diagonal = "datum.t === datum.p"
    return vega(
        f"Confusion matrix of {name}: {len(classes)} classes, rows are the true ones. The table beside it lists "
        "the pairs that are mixed up most.",
        f"{side} + 118",
        signals=[{"name": "side", "update": side}],
        data=[{"name": "cells", "values": cells}, {"name": "names", "values": names}],
        scales=[
            _band("x", len(classes), "112", "112 + side"),
            _band("y", len(classes), "4", "4 + side"),
        ],
        marks=[
            {
                "type": "rect",
                "encode": encoded(
                    x=112, width={"signal": "side"}, y=4, height={"signal": "side"}, stroke=RULE, fill="transparent"
                ),
            },
            {
                "type": "rect",
                "from": {"data": "cells"},
                "encode": encoded(
                    **at,
                    width={"signal": "max(1, bandwidth('x') - 1)"},
                    height={"signal": "max(1, bandwidth('y') - 1)"},
                    fill={"signal": f"{diagonal} ? '{FOUND}' : '{MEASURED}'"},
                    # a mistake stays in sight, however rare
                    fillOpacity={
                        "signal": f"{diagonal} ? 0.12 + 0.78 * datum.n / datum.of : "
                        "0.15 + 0.85 * sqrt(datum.n / datum.of)"
                    },
                    tooltip={"field": "tip"},
                ),
            },
            *(_counts(at) if counted else ()),
            _names("y"),
            _names("x"),
            _axis_title("true class", 0, "4 + side + 14"),
            _axis_title("predicted class", "112 + side", "4 + side + 110"),
        ],
        bare=True,
    )


def _band(name: str, classes: int, first: str, last: str) -> Spec:
    return {
        "name": name,
        "type": "band",
        "domain": list(range(classes)),
        "range": [{"signal": first}, {"signal": last}],
    }


def classes_of(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """True ones, and those that were only predicted, by name."""
    return sorted({*confusion, *(predicted for row in confusion.values() for predicted in row)})


def _counts(at: Mapping[str, Spec]) -> list[Spec]:
    """Black or white is the page's: on a strong blue, its background's colour."""
    strong = "datum.t === datum.p && datum.n / datum.of > 0.5"
    return [
        {
            "type": "text",
            "interactive": False,
            "from": {"data": "cells"},
            "encode": encoded(
                x=at["xc"],
                y=at["yc"],
                text={"field": "n"},
                align="center",
                baseline="middle",
                fontSize={"signal": "min(12, bandwidth('x') / 2.2)"},
                fill={"signal": f"{strong} ? 'var(--page)' : '{INK}'"},
            ),
        }
    ]


def _names(axis: str) -> Spec:
    across = axis == "x"
    middle = {"scale": axis, "field": "i", "band": 0.5}
    return {
        "type": "text",
        "interactive": False,
        "from": {"data": "names"},
        "encode": encoded(
            x=middle if across else 106,
            y={"signal": "4 + side + 6"} if across else middle,
            text={"field": "name"},
            angle=-90 if across else 0,
            align="right",
            baseline="middle",
            fontSize={"signal": "clamp(bandwidth('y') * 0.8, 6, 12)"},
            fill=INK,
            limit=100,
        ),
    }


def _axis_title(text: str, x: str | int, y: str) -> Spec:
    right = isinstance(x, str)
    return {
        "type": "text",
        "interactive": False,
        "encode": encoded(
            x={"signal": x} if right else x,
            y={"signal": y},
            text=text,
            align="right" if right else "left",
            fill=MUTED,
            fontSize=SMALL,
        ),
    }
