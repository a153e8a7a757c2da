"""What stands at the top: the limit, and how accurate, fast and large the network within it is, in large figures."""

from __future__ import annotations

from ofa.report.charts.theme import INK, MUTED, SMALL, Spec, chosen_of, encoded, limit_signal, vega
from ofa.report.inputs.searched import FoundNetwork
from ofa.report.parts.devices import DeviceFindings
from ofa.report.parts.provenance import error_95, interval, wilson
from ofa.report.parts.slider import Slider

LARGE, LINE, CELL = 27, 17, 86  # pixels: of a figure, of a line below it, of a cell
CELLS = 4


def readout_chart(findings: DeviceFindings, slider: Slider) -> Spec:
    """Four cells, side by side or two by two."""
    networks = [
        {"c": findings.cost(network), "a": network.top1, "cells": _cells(network, findings)}
        for network in findings.networks
    ]
    cells = {
        "name": "cells",
        "source": "chosen",
        "transform": [{"type": "flatten", "fields": ["cells"], "index": "i", "as": ["cell"]}],
    }
    columns = f"(narrow ? 2 : {CELLS})"
    x = {"signal": f"width * (datum.i % {columns}) / {columns}"}
    lines = (
        (12, "datum.cell[0]", {"fontSize": SMALL + 1, "fill": MUTED}),
        (42, f"datum.i ? datum.cell[1] : format(toNumber(asked), '.4~g') + ' {findings.unit}'", _large()),
        (42 + LINE, "datum.cell[2]", {"fontSize": SMALL + 1, "fill": MUTED}),
        (42 + 2 * LINE, "datum.cell[3]", {"fontSize": SMALL + 1, "fill": MUTED}),
    )
    return vega(
        f"The most accurate network within the limit, at first {slider.text(slider.start)} {findings.unit}: its "
        "accuracy, latency and size. The table below lists all networks.",
        f"narrow ? {2 * CELL} : {CELL}",
        signals=limit_signal(slider.id, slider.start, slider.step),
        data=[{"name": "networks", "values": networks}, chosen_of("networks"), cells],
        marks=[
            {
                "type": "text",
                "interactive": False,
                "from": {"data": "cells"},
                "encode": encoded(
                    x=x,
                    y={"signal": f"{CELL} * floor(datum.i / {columns}) + {y}"},
                    text={"signal": text},
                    limit={"signal": f"width / {columns} - 6"},
                    **how,
                ),
            }
            for y, text, how in lines
        ],
        bare=True,
    )


def _large() -> Spec:
    return {"fontSize": LARGE, "fontWeight": 600, "fill": INK}


def _cells(network: FoundNetwork, findings: DeviceFindings) -> list[list[str]]:
    """(label, figure, two lines below it) of each cell; the figure of the limit is the slider's."""
    between, whole = interval(network), network.measured
    sure = "no interval known" if between is None else f"{between[0]:.1f} to {between[1]:.1f} (95 %)"
    accuracy = ["Top-1 accuracy", f"{network.top1:.1f} %", sure, "predicted"]
    if network.measured_top1 is not None:
        accuracy = ["Top-1 accuracy", f"{network.measured_top1:.1f} %", f"predicted {network.top1:.1f} %", "measured"]
        if network.images:
            low, high = wilson(network.measured_top1, network.images)
            accuracy[2] = f"{low:.1f} to {high:.1f} (95 %)"
            accuracy[3] = f"on {network.images:,} images"
    latency = ["Latency", f"{network.sum_ms:.3g} ms", "sum of its blocks", "its error is not known"]
    if (error_pct := error_95(findings)) is not None:
        latency[3] = f"within {error_pct:g} % (95 %)"
    elif findings.facts.get("provenance") in ("estimated", "imported"):
        latency[3] = f"{findings.facts['provenance']}, not measured here"
    if whole is not None:
        error = "" if whole.error_pct is None else f" ± {1.96 * whole.error_pct:.2g} %"
        latency = ["Latency", f"{whole.latency_ms:.3g} ms", f"measured whole{error}", f"sum {network.sum_ms:.3g} ms"]
    if findings.batch > 1:
        latency[2] = f"for {findings.batch} images, {latency[2]}"
    if findings.unit == "mJ" and network.energy_mj is not None:
        latency = ["Energy", f"{network.energy_mj:.3g} mJ", "sum of its blocks", f"{network.sum_ms:.3g} ms"]
    kept = "kept, as measured" if whole is not None and whole.keeps else "most accurate network"
    if whole is not None and whole.keeps is None:
        kept = "as measured"
    limit = ["Limit", "", kept, "within it, of those found"]
    macs = "" if network.macs is None else f"{network.macs:.3g} M MACs"
    params = "" if network.params is None else f"{network.params:.2g} M params"
    size = ["Network", f"{network.subnet.resolution} px", f"depths {'-'.join(map(str, network.subnet.depths))}", ""]
    size[3] = ", ".join(part for part in (macs, params) if part)
    return [limit, accuracy, latency, size]
