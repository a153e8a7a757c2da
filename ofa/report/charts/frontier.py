"""Accuracy against latency: what was found with its intervals, what was measured, and networks that others know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.priced import PricedNetwork
from ofa.report.charts.theme import (
    FOUND,
    INK,
    MEASURED,
    MUTED,
    PAGE,
    REFERENCE,
    SMALL,
    Spec,
    chosen_of,
    encoded,
    limit_signal,
    log_ticks,
    vega,
    y_title,
)
from ofa.report.inputs.references import ReferenceNetwork
from ofa.report.parts.devices import DeviceFindings
from ofa.report.parts.provenance import interval
from ofa.report.parts.slider import Slider

RECIPES = {"paper": "its authors", "timm": "timm's recipe", "stated": "its file"}
LOGARITHMIC = 5  # an axis whose ends are farther apart than this factor


def frontier_chart(
    findings: DeviceFindings,
    references: Sequence[ReferenceNetwork],
    slider: Slider,
    priced: Sequence[PricedNetwork] = (),
) -> Spec:
    """references: of this device, measured there; priced: in no space, by the sums of their blocks in its table"""
    rows = [_row(findings, i) for i in range(len(findings.networks))]
    if findings.unit != "ms":
        references, priced = (), ()  # their latencies are not on this axis
    sums = [one for one in priced if one.sum_ms is not None]
    named = [row for reference in references for row in _recipes(reference)]
    named += [row for one in sums for row in _recipes_of_sum(one)]
    unplaced = [_without_accuracy(one) for one in sums if not one.top1]
    costs = [*(row["c"] for row in rows), *(row["s"] for row in rows), *(r["c"] for r in named), slider.start]
    costs += [row["c"] for row in unplaced]
    costs += [cost for cost, _ in findings.line]
    low, high = min(costs), max(costs)
    logarithmic = low > 0 and high / low > LOGARITHMIC
    pad = max(0.04 * (high - low), 0.05 * high)
    x: Spec = {"name": "x", "range": "width", "domain": [low / 1.08, high * 1.12], "type": "log"}
    if not logarithmic:
        x |= {"domain": [max(0.0, low - pad), high + pad], "type": "linear", "zero": False}
    tops = [v for row in rows for v in (row["lo"], row["hi"], row["a"])] + [r["a"] for r in named]
    room = 0.06 * (max(tops) - min(tops)) or 1.0
    y = {"name": "y", "range": "height", "domain": [min(tops) - room, max(tops) + room], "nice": True, "zero": False}
    bottom: Spec = {"orient": "bottom", "scale": "x", "title": _x_title(findings), "format": ".4~g", "tickCount": 6}
    if logarithmic:
        bottom |= {"values": log_ticks(*x["domain"]), "labelOverlap": False}
    return vega(
        _described(findings, rows),
        "narrow ? 300 : 380",
        signals=limit_signal(slider.id, slider.start, slider.step),
        data=[
            {"name": "networks", "values": rows},
            {"name": "line", "values": [{"x": cost, "y": top1} for cost, top1 in findings.line]},
            {"name": "measured", "source": "networks", "transform": [{"type": "filter", "expr": "datum.m !== null"}]},
            {"name": "references", "values": named},
            {"name": "unplaced", "values": unplaced},
            chosen_of("networks"),
        ],
        scales=[x, y],
        axes=[
            {"orient": "left", "scale": "y", "tickCount": 6, "format": ".4~g", "offset": 4},
            bottom,
        ],
        marks=[
            y_title("top-1, %"),
            *_limit(findings.unit),
            *_found(),
            *_references(),
            *_unplaced(),
            *_measured(),
            *_hits(),
        ],
    )


def _x_title(findings: DeviceFindings) -> str:
    what = "energy, mJ" if findings.unit == "mJ" else "latency, ms"
    return what if findings.batch == 1 else f"{what} for {findings.batch} images"


def _row(findings: DeviceFindings, i: int) -> Spec:
    network = findings.networks[i]
    between = interval(network) or (network.top1, network.top1)
    measured = None if network.measured is None or findings.unit == "mJ" else network.measured.latency_ms
    top1 = f"{network.top1:.2f} %"
    if interval(network):
        top1 += f" ({between[0]:.1f} to {between[1]:.1f})"
    shown = {"Top-1, predicted": top1}
    if network.measured_top1 is not None:
        shown["Top-1, measured"] = f"{network.measured_top1:.2f} %"
    shown["Sum of blocks"] = f"{network.sum_ms:.4g} ms"
    if network.measured is not None:
        error = network.measured.error_pct
        shown["Measured whole"] = f"{network.measured.latency_ms:.4g} ms" + (f" ± {error:.2g} %" if error else "")
    if network.energy_mj is not None:
        shown["Energy"] = f"{network.energy_mj:.4g} mJ"
    shown["Input"] = f"{network.subnet.resolution} px"
    shown["Depths"] = "-".join(map(str, network.subnet.depths))
    return {
        "c": findings.cost(network),
        "s": network.energy_mj if findings.unit == "mJ" and network.energy_mj is not None else network.sum_ms,
        "m": measured,
        "a": network.top1,
        "lo": between[0],
        "hi": between[1],
        "tip": shown,
    }


def _recipes(reference: ReferenceNetwork) -> list[Spec]:
    """A row for each recipe; the first, the authors' where it is known, has the name, and how far up the others are."""
    tip = {"Network": reference.name}
    tip |= {f"Top-1, {RECIPES.get(recipe, recipe)}": f"{top1:.1f} %" for recipe, top1 in reference.top1.items()}
    error = "" if reference.error_ms is None else f" ± {1.96 * reference.error_ms:.2g}"
    tip["Measured here"] = f"{reference.latency_ms:.4g}{error} ms" + (" (doubtful)" if reference.doubtful else "")
    return _rows_of(reference.name, reference.latency_ms, reference.top1, tip, dashed=False)


def _recipes_of_sum(one: PricedNetwork) -> list[Spec]:
    """Likewise of a network that nobody measured."""
    return _rows_of(one.name, one.sum_ms or 0.0, one.top1, _tip_of_sum(one), dashed=True)


def _without_accuracy(one: PricedNetwork) -> Spec:
    return {"c": one.sum_ms, "name": one.name, "tip": _tip_of_sum(one)}


def _tip_of_sum(one: PricedNetwork) -> Spec:
    tip = {"Network": one.name, "Input": f"{one.resolution} px"}
    tip |= {f"Top-1, {RECIPES.get(recipe, recipe)}": f"{top1:.1f} %" for recipe, top1 in one.top1.items()}
    return {**tip, "Sum of blocks": f"{'~' * one.interpolated}{one.sum_ms:.4g} ms, not measured"}


def _rows_of(name: str, cost: float, top1: Mapping[Any, float], tip: Spec, *, dashed: bool) -> list[Spec]:
    known = sorted(top1.items(), key=lambda item: item[0] != "paper")
    rows: list[Spec] = [{"c": cost, "a": top1, "r": recipe, "tip": tip, "name": ""} for recipe, top1 in known]
    for row in rows[:1]:
        row["name"] = name
    return [{**row, "from": rows[0]["a"], "sum": dashed} for row in rows]


def _described(findings: DeviceFindings, rows: Sequence[Spec]) -> str:
    first, last = rows[0], rows[-1]
    unit = findings.unit
    return (
        f"Accuracy against {'latency' if unit == 'ms' else 'energy'} of {len(rows)} networks found for "
        f"{findings.device}: from {first['a']:.1f} % at {first['c']:.3g} {unit} to {last['a']:.1f} % at "
        f"{last['c']:.3g} {unit}. The table below lists them."
    )


def _still(kind: str, data: str, **channels: Any) -> Spec:
    """A mark for each row that no pointer meets."""
    return {"type": kind, "interactive": False, "from": {"data": data}, "encode": encoded(**channels)}


def _limit(unit: str) -> list[Spec]:
    """A line at the slider's limit, with its name at the top."""
    at = {"scale": "x", "signal": "limit"}
    inside = "limit >= domain('x')[0] && limit <= domain('x')[1]"
    right = "scale('x', limit) > width - 90"
    return [
        {
            "type": "rule",
            "interactive": False,
            "encode": encoded(
                x=at,
                y=0,
                y2={"signal": "height"},
                stroke=INK,
                strokeDash=[3, 3],
                opacity={"signal": f"{inside} ? 0.6 : 0"},
            ),
        },
        {
            "type": "text",
            "interactive": False,
            "encode": encoded(
                x=at,
                y=-5,
                align={"signal": f"{right} ? 'right' : 'left'"},
                baseline="bottom",
                text={"signal": f"!({inside}) ? '' : 'limit ' + format(toNumber(asked), '.4~g') + ' {unit}'"},
                fill=INK,
                fontSize=SMALL + 1,
            ),
        },
    ]


def _found() -> list[Spec]:
    """The band of the intervals, the whole frontier where it is known, and a dot for each network."""
    x, y = {"scale": "x", "field": "s"}, {"scale": "y", "field": "a"}
    band = {"y": {"scale": "y", "field": "lo"}, "y2": {"scale": "y", "field": "hi"}}
    many = "length(data('networks')) > 8"
    by_cost = {"name": "by_sum", "source": "networks", "transform": [{"type": "collect", "sort": {"field": "s"}}]}
    return [
        {
            "type": "group",
            "interactive": False,
            "data": [by_cost],
            "marks": [
                _still("area", "by_sum", x=x, **band, fill=FOUND, fillOpacity=0.14),
                _still(
                    "line",
                    "line",
                    x={"scale": "x", "field": "x"},
                    y={"scale": "y", "field": "y"},
                    stroke=FOUND,
                    strokeWidth=1.25,
                    interpolate="step-after",
                ),
                # of many, the band is enough
                _still("rule", "by_sum", x=x, **band, stroke=FOUND, opacity={"signal": f"{many} ? 0 : 0.4"}),
                {
                    "name": "dots",
                    **_still("symbol", "by_sum", x=x, y=y, size=38, fill=FOUND, stroke=PAGE, strokeWidth=1),
                },
            ],
        },
    ]


def _measured() -> list[Spec]:
    """What networks took as a whole, joined with their sums; the one that is chosen has a ring."""
    sums, whole, chosen = ({"scale": "x", "field": field} for field in ("s", "m", "c"))
    y = {"scale": "y", "field": "a"}
    diamond = {"shape": "diamond", "size": 80, "fill": MEASURED, "stroke": PAGE, "strokeWidth": 1}
    ring = {"size": 260, "fill": "transparent", "stroke": INK, "strokeWidth": 2}
    return [
        _still("rule", "measured", x=sums, x2=whole, y=y, stroke=MEASURED, strokeWidth=1.5),
        _still("symbol", "measured", x=whole, y=y, **diamond),
        _still("symbol", "chosen", x=chosen, y=y, **ring),
    ]


def _references() -> list[Spec]:
    """A square by the authors' recipe, a triangle by others, joined; names keep clear of each other."""
    x, y = {"scale": "x", "field": "c"}, {"scale": "y", "field": "a"}
    return [
        _still("rule", "references", x=x, y=y, y2={"scale": "y", "field": "from"}, stroke=REFERENCE, strokeWidth=1),
        {
            "name": "squares",
            "type": "symbol",
            "description": "a published network",
            "from": {"data": "references"},
            "encode": encoded(
                x=x,
                y=y,
                shape={"signal": "datum.r === 'paper' ? 'square' : 'triangle-up'"},
                size=46,
                fill=PAGE,
                stroke=REFERENCE,
                strokeWidth=1.5,
                strokeDash={"signal": "datum.sum ? [2, 1.5] : []"},
                tooltip={"field": "tip"},
            ),
        },
        _names("squares", ["bottom-right", "right", "bottom", "left", "bottom-left", "top-right", "top"]),
    ]


def _unplaced() -> list[Spec]:
    """Networks of unknown accuracy: at the bottom, pointing at what they take."""
    return [
        {
            "name": "ticks",
            "type": "symbol",
            "description": "a network of unknown accuracy",
            "from": {"data": "unplaced"},
            "encode": encoded(
                x={"scale": "x", "field": "c"},
                y={"signal": "height - 6"},
                shape="triangle-down",
                size=46,
                fill=PAGE,
                stroke=REFERENCE,
                strokeWidth=1.5,
                strokeDash=[2, 1.5],
                tooltip={"field": "tip"},
            ),
        },
        _names("ticks", ["top", "top-right", "top-left", "right", "left"]),
    ]


def _names(marks: str, anchors: Sequence[str]) -> Spec:
    """Of the rows of marks, where they keep clear of each other."""
    where = {"type": "label", "size": {"signal": "[width, height]"}, "anchor": list(anchors), "offset": [4]}
    text = _still("text", marks, text={"field": "datum.name"}, fill=MUTED, fontSize=SMALL)
    return {**text, "transform": [where]}


def _hits() -> list[Spec]:
    """Wide, unseen dots: what a finger or a pointer finds."""
    shared: dict[str, Any] = {"y": {"scale": "y", "field": "a"}, "size": 420, "opacity": 0, "tooltip": {"field": "tip"}}
    at = {"x": {"scale": "x", "field": "c"}, "cursor": "pointer"}
    return [
        {
            "name": "hit",
            "type": "symbol",
            "description": "a network that was found",
            "from": {"data": "networks"},
            "encode": encoded(**shared, **at, fill=FOUND),
        }
    ]
