"""A device's level, night after night: how much longer all blocks take than in the first tables of the era."""

from __future__ import annotations

import itertools
from datetime import timedelta

from ofa.report.charts.theme import FOUND, MEASURED, MUTED, PAGE, Spec, band, encoded, vega, y_title
from ofa.report.inputs.histories import DeviceHistory, HistoryNight

DAY_MS = 86_400_000
CALM = ("first", "unchanged")


def history_chart(history: DeviceHistory) -> Spec:
    """A point a table, filled orange where it is not like those before it; a line where an era begins."""
    # the axis is UTC's: moved by this, its days are those of the last table's zone
    ahead = history.nights[-1].when.utcoffset() or timedelta()
    rows = [_row(night, ahead) for night in history.nights]
    most = max([history.effect_pct, *(abs(float(row["y"])) for row in rows)]) * 1.15
    first, last = rows[0]["x"], rows[-1]["x"]
    room = max((last - first) * 0.03, DAY_MS / 2)
    begins = [{"x": row["x"]} for before, row in itertools.pairwise(rows) if row["e"] != before["e"]]
    odd = sum(row["o"] for row in rows)
    return vega(
        f"{len(rows)} tables of {history.device}, {odd} of which are not like those before them, with a band of "
        f"{history.effect_pct:g} % on both sides.",
        "narrow ? 180 : 220",
        data=[{"name": "rows", "values": rows}, {"name": "begins", "values": begins}],
        scales=[
            {"name": "x", "type": "utc", "range": "width", "domain": [first - room, last + room]},
            {"name": "y", "range": "height", "domain": [-most, most]},
        ],
        axes=[
            {"orient": "left", "scale": "y", "tickCount": 5, "format": "+.3~g"},
            {"orient": "bottom", "scale": "x", "tickCount": 5, "format": "%-d %b %Y", "labelOverlap": True},
        ],
        marks=[y_title("all blocks, % above the first tables"), *band(history.effect_pct), _new_eras(), *_points()],
    )


def _row(night: HistoryNight, ahead: timedelta) -> Spec:
    level = night.level_pct or 0.0
    tip = {"Table of": night.when.strftime("%Y-%m-%d %H:%M"), "State": night.state}
    if night.level_pct is not None:
        tip["All blocks"] = f"{level:+.2f} %"
        tip["Blocks changed beside that"] = f"{night.changed} of {night.blocks}"
    return {
        "x": 1000 * (night.when.timestamp() + ahead.total_seconds()),
        "y": level,
        "e": night.era,
        "o": night.state not in CALM,
        "tip": tip,
    }


def _new_eras() -> Spec:
    return {
        "type": "rule",
        "from": {"data": "begins"},
        "encode": encoded(
            x={"scale": "x", "field": "x"}, y=0, y2={"signal": "height"}, stroke=MUTED, strokeDash=[4, 3]
        ),
    }


def _points() -> list[Spec]:
    x, y = {"scale": "x", "field": "x"}, {"scale": "y", "field": "y"}
    line = {"type": "line", "from": {"data": "era"}, "encode": encoded(x=x, y=y, stroke=FOUND, strokeWidth=1)}
    points = {
        "type": "symbol",
        "from": {"data": "rows"},
        "encode": encoded(
            x=x,
            y=y,
            size={"signal": "datum.o ? 70 : 34"},
            shape={"signal": "datum.o ? 'diamond' : 'circle'"},
            fill={"signal": f"datum.o ? '{MEASURED}' : '{FOUND}'"},
            stroke=PAGE,
            strokeWidth=1,
            tooltip={"field": "tip"},
        ),
    }
    return [
        {"type": "group", "from": {"facet": {"name": "era", "data": "rows", "groupby": "e"}}, "marks": [line]},
        points,
    ]
