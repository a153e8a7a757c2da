"""The network within the limit, drawn block by block: kernel, expansion, and where its milliseconds go."""

from __future__ import annotations

from ofa.blocks import OPERATORS
from ofa.report.charts.theme import (
    FOUND,
    INK,
    MUTED,
    RULE,
    SMALL,
    Spec,
    chosen_of,
    encoded,
    limit_signal,
    vega,
)
from ofa.report.parts.devices import DeviceFindings
from ofa.report.parts.networks import DrawnNetworks, PlacedBlock
from ofa.report.parts.slider import Slider

ROW, HEAD = 20, 30  # pixels
KERNEL, EXPAND, BARS, VALUE = 96, 152, 214, 52  # where columns begin; VALUE: how wide the last one is
NAMES = {"mbconv": "inverted bottleneck", "conv": "convolution", "linear": "linear layer"}  # else the operator's own


def network_chart(findings: DeviceFindings, drawn: DrawnNetworks, slider: Slider) -> Spec:
    """One row a place; what the network skips stays as a dotted row, so that nothing jumps."""
    networks = [
        {"c": findings.cost(network), "a": network.top1, "b": list(blocks)}
        for network, blocks in zip(findings.networks, drawn.networks, strict=True)
    ]
    places, units = _places(drawn)
    unit_of = [place["u"] for place in places]
    blocks = [
        {**_block(block, findings.batch), "id": i, "u": unit_of[block.place]} for i, block in enumerate(drawn.blocks)
    ]
    known = [block.ms for block in drawn.blocks if block.ms is not None]
    return vega(
        f"The network within the limit, one row for each of its {len(places)} places: kernel size, expand ratio and "
        "milliseconds of each block.",
        HEAD + ROW * len(places),
        signals=limit_signal(slider.id, slider.start, slider.step),
        data=[
            {"name": "networks", "values": networks},
            {"name": "blocks", "values": blocks},
            chosen_of("networks"),
            *_joined(places, units),
        ],
        scales=[
            {
                "name": "ms",
                "domain": [0, max(known, default=1.0)],
                "range": [{"signal": f"{BARS}"}, {"signal": f"max({BARS + 20}, width - {VALUE})"}],
            }
        ],
        marks=[*_heads(), *_units(bool(known)), *_rows(), *_bars(bool(known))],
        bare=True,
    )


def _joined(places: list[Spec], units: list[Spec]) -> list[Spec]:
    """The chosen network's own blocks, its sums by unit, and both beside the places and units that are drawn."""
    own = [
        {"type": "flatten", "fields": ["b"], "as": ["id"]},
        {"type": "lookup", "from": "blocks", "key": "id", "fields": ["id"], "as": ["block"]},
        {"type": "formula", "as": "p", "expr": "datum.block.p"},
        {"type": "formula", "as": "u", "expr": "datum.block.u"},
        {"type": "formula", "as": "ms", "expr": "datum.block.ms"},
        {"type": "joinaggregate", "fields": ["ms"], "ops": ["sum"], "as": ["total"]},
    ]
    by_unit = {"type": "aggregate", "groupby": ["u"], "fields": ["ms", "total"], "ops": ["sum", "max"]}
    of_place = {"type": "lookup", "from": "own", "key": "p", "fields": ["p"], "as": ["own"]}
    of_unit = {"type": "lookup", "from": "summed", "key": "u", "fields": ["u"], "as": ["sum"]}
    return [
        {"name": "own", "source": "chosen", "transform": own},
        {"name": "summed", "source": "own", "transform": [{**by_unit, "as": ["ms", "of"]}]},
        {"name": "rows", "values": places, "transform": [of_place]},
        {"name": "units", "values": units, "transform": [of_unit]},
    ]


def _block(placed: PlacedBlock, batch: int) -> Spec:
    block = placed.block
    name = NAMES.get(block.op, block.op.replace("_", " "))
    has_kernel = "kernel_size" not in OPERATORS[block.op].fixed
    tip = {"Block": f"{name} {block.kernel_size}×{block.kernel_size}" if has_kernel else name}
    if placed.expand is not None:
        tip["Expand"] = f"×{placed.expand:g}: {block.mid_channels} channels"
    tip["Channels"] = f"{block.in_channels} to {block.out_channels}"
    tip["Map"] = f"{block.in_size} px" + (f", stride {block.stride}" if block.stride > 1 else "")
    if block.activation != "none":
        tip["Activation"] = block.activation.replace("_", "-") + (
            ", squeeze and excite" if block.squeeze_excite else ""
        )
    if placed.ms is not None:
        of = f" for {batch} images" if batch > 1 else ""
        tip["Latency"] = f"{placed.ms:.4g} ms{of}" + (" (interpolated)" if placed.interpolated else "")
    return {
        "p": placed.place,
        "k": block.kernel_size if has_kernel else 0,
        "e": placed.expand or 0,
        "ms": placed.ms,
        "side": block.in_size,
        "out": block.out_channels,
        "tip": tip,
    }


def _places(drawn: DrawnNetworks) -> tuple[list[Spec], list[Spec]]:
    """Rows; and units, each with its first row and how many it has."""
    places, units = [], list[Spec]()
    for i, (unit, layer) in enumerate(drawn.places):
        if not units or not layer or units[-1]["name"] != unit:
            units.append({"u": len(units), "name": unit, "row": i, "rows": 0})
        units[-1]["rows"] += 1
        places.append({"p": i, "u": len(units) - 1})
    return places, units


def _y(offset: float = ROW / 2, field: str = "p") -> Spec:
    """The middle of a row, or so many pixels below its top."""
    return {"signal": f"{HEAD} + {ROW} * datum.{field} + {offset:g}"}


def _text(x: float | Spec, text: Spec | str, y: Spec | float, **more: object) -> Spec:
    """An encoding of a small text."""
    return dict(encoded(x=x, y=y, text=text, baseline="middle", fontSize=SMALL + 1, **more))


def _heads() -> list[Spec]:
    named = ((0, "block"), (KERNEL, "kernel"), (EXPAND, "expand"), (BARS, "milliseconds"))
    return [{"type": "text", "interactive": False, "encode": _text(x, text, 10, fill=MUTED)} for x, text in named] + [
        {
            "type": "rule",
            "interactive": False,
            "encode": encoded(x=0, x2={"signal": "width"}, y=HEAD - 8, stroke=RULE),
        }
    ]


def _units(timed: bool) -> list[Spec]:
    """The unit's name beside its first row, what it takes below, and a line under it."""
    figure = "format(datum.sum.ms, datum.sum.ms < 0.1 ? '.2r' : '.3r')"
    share = f"{figure} + ' ms, ' + format(datum.sum.ms / datum.sum.of, '.0%')"
    many = "datum.rows > 1 && isValid(datum.sum) && datum.sum.ms > 0"
    taken = {"signal": f"{many} ? {share} : ''"} if timed else ""
    unit = {"interactive": False, "from": {"data": "units"}}
    return [
        {**unit, "type": "text", "encode": _text(0, {"field": "name"}, _y(field="row"), fill=INK)},
        {**unit, "type": "text", "encode": _text(0, taken, _y(ROW * 1.5, "row"), fill=MUTED)},
        {
            **unit,
            "type": "rule",
            "encode": encoded(
                x=0,
                x2={"signal": "width"},
                y={"signal": f"{HEAD} + {ROW} * (datum.row + datum.rows) - 0.5"},
                stroke=RULE,
                strokeWidth={"signal": "datum.rows > 1 ? 1 : 0.5"},
            ),
        },
    ]


def _rows() -> list[Spec]:
    """Kernel and expansion of each block, as drawings and figures; a dotted line where a layer is skipped."""
    row = {"interactive": False, "from": {"data": "rows"}}
    there, kernel, ratio = "isValid(datum.own)", "datum.own.block.k", "datum.own.block.e"
    return [
        {
            **row,
            "type": "rule",
            "encode": encoded(
                x=KERNEL,
                x2={"signal": "width"},
                y=_y(),
                stroke=MUTED,
                strokeDash=[1, 4],
                opacity={"signal": f"{there} ? 0 : 0.7"},
            ),
        },
        {
            **row,
            "type": "rect",
            "encode": encoded(
                xc=KERNEL + 8,
                yc=_y(),
                width={"signal": f"{there} ? 2 * {kernel} : 0"},
                height={"signal": f"{there} ? 2 * {kernel} : 0"},
                stroke=INK,
                strokeWidth={"signal": f"{there} && {kernel} > 0 ? 1 : 0"},
                fill="transparent",
            ),
        },
        {
            **row,
            "type": "text",
            "encode": _text(
                KERNEL + 20, {"signal": f"{there} && {kernel} ? {kernel} + '×' + {kernel} : ''"}, _y(), fill=INK
            ),
        },
        {
            **row,
            "type": "rect",
            "encode": encoded(
                x=EXPAND,
                yc=_y(),
                width={"signal": f"{there} ? 4 * {ratio} : 0"},
                height=8,
                fill=MUTED,
                fillOpacity=0.45,
            ),
        },
        {
            **row,
            "type": "text",
            "encode": _text(
                {"signal": f"{EXPAND} + 5 + ({there} ? 4 * {ratio} : 0)"},
                {"signal": f"{there} && {ratio} ? '×' + format({ratio}, '~g') : ''"},
                _y(),
                fill=INK,
            ),
        },
    ]


def _bars(timed: bool) -> list[Spec]:
    """Milliseconds of each block; and over the whole row, what else is known of it, for pointers."""
    row = {"from": {"data": "rows"}}
    over_zero = "isValid(datum.own) ? max(0, datum.own.ms) : 0"  # a correction may take more off than a block takes
    bars: list[Spec] = [
        {
            **row,
            "type": "rect",
            "interactive": False,
            "encode": encoded(
                x={"scale": "ms", "value": 0},
                x2={"scale": "ms", "signal": over_zero},
                yc=_y(),
                height=12,
                fill=FOUND,
            ),
        },
        {
            **row,
            "type": "text",
            "interactive": False,
            "encode": _text(
                {"scale": "ms", "signal": over_zero, "offset": 5},
                {"signal": "isValid(datum.own) ? format(datum.own.ms, '.3r') : ''"},
                _y(),
                fill=INK,
            ),
        },
    ]
    over = {
        **row,
        "type": "rect",
        "encode": encoded(
            x=0,
            x2={"signal": "width"},
            yc=_y(),
            height=ROW,
            fill="transparent",
            tooltip={"signal": "isValid(datum.own) ? datum.own.block.tip : {Block: 'skipped'}"},
        ),
    }
    return [*(bars if timed else ()), over]
