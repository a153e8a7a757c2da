"""Whole networks against the sums of their blocks: how far off each is."""

from __future__ import annotations

from ofa.report.charts.theme import FOUND, MUTED, PAGE, Spec, band, encoded, vega, y_title
from ofa.report.inputs.validated import ValidationRun

BAND = 5  # per cent, on both sides


def validation_chart(run: ValidationRun) -> Spec:
    """Error of the sum in per cent against what a network took; hollow: it fitted the correction."""
    rows = [
        {
            "x": measured,
            "y": 100 * (predicted / measured - 1),
            "s": scored,
            "tip": {
                "Measured": f"{measured:.4g} ms",
                "Sum of blocks": f"{predicted:.4g} ms",
                "Error": f"{100 * (predicted / measured - 1):+.1f} %",
            },
        }
        for measured, predicted, scored in run.times
    ]
    most = max([BAND, *(abs(float(str(row["y"]))) for row in rows)]) * 1.1
    high = max((measured for measured, _, _ in run.times), default=1.0) * 1.04
    return vega(
        f"Error of the sums of {len(rows)} whole networks, in per cent of what they took, with a band of {BAND} % on "
        "both sides.",
        "narrow ? 220 : 260",
        data=[{"name": "rows", "values": rows}],
        scales=[
            {"name": "x", "range": "width", "domain": [0, high]},
            {"name": "y", "range": "height", "domain": [-most, most]},
        ],
        axes=[
            {"orient": "left", "scale": "y", "tickCount": 5, "format": "+.3~g"},
            {"orient": "bottom", "scale": "x", "title": "measured whole, ms", "tickCount": 6, "format": ".4~g"},
        ],
        marks=[
            y_title("sum of blocks is off by, %"),
            *_marks(),
        ],
    )


def _marks() -> list[Spec]:
    """The band and its middle, and a dot for each network."""
    return [
        *band(BAND),
        {
            "type": "rule",
            "interactive": False,
            "encode": encoded(x=0, x2={"signal": "width"}, y={"scale": "y", "value": 0}, stroke=MUTED),
        },
        {
            "type": "symbol",
            "from": {"data": "rows"},
            "encode": encoded(
                x={"scale": "x", "field": "x"},
                y={"scale": "y", "field": "y"},
                size=34,
                fill={"signal": f"datum.s ? '{FOUND}' : '{PAGE}'"},
                stroke=FOUND,
                strokeWidth=1,
                tooltip={"field": "tip"},
            ),
        },
    ]
