"""A table alone: what each of its blocks takes, against its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.blocks.costs import block_macs
from ofa.report.charts.theme import FOUND, MEASURED, MUTED, SMALL, Spec, encoded, log_ticks, vega, y_title
from ofa.tables import LatencyTable

MOST_BLOCKS = 3_000
KERNELS = {1: "var(--muted)", 3: FOUND, 5: "var(--third)", 7: MEASURED}
SHAPES, SIGNS = {1: "cross", 3: "circle", 5: "square", 7: "triangle-up"}, {1: "+", 3: "●", 5: "■", 7: "▲"}


def table_chart(table: LatencyTable) -> Spec:
    """Both axes are logarithmic; one mark a block, by its kernel size."""
    rows: list[Spec] = [
        {
            "x": block_macs(row.block) / 1e6,
            "y": row.latency_ms,
            "k": row.block.kernel_size,
            "tip": {
                "Block": str(row.block),
                "Latency": f"{row.latency_ms:.4g} ms",
                "Arithmetic": f"{block_macs(row.block) / 1e6:.3g} M MACs",
            },
        }
        for row in table.rows[:: -(-len(table.rows) // MOST_BLOCKS)]
        if row.latency_ms > 0 and block_macs(row.block)  # pooling has none
    ]
    domains = {axis: [min(r[axis] for r in rows) * 0.8, max(r[axis] for r in rows) * 1.25] for axis in ("x", "y")}
    kernels = sorted({row["k"] for row in rows})
    return vega(
        f"Latency of {len(rows)} blocks of {table.device} against their multiply-accumulates, on logarithmic axes.",
        "narrow ? 300 : 380",
        data=[{"name": "rows", "values": rows}],
        scales=[
            {"name": "x", "type": "log", "range": "width", "domain": domains["x"]},
            {"name": "y", "type": "log", "range": "height", "domain": domains["y"]},
            _ordinal("colour", kernels, [KERNELS.get(k, MUTED) for k in kernels]),
            _ordinal("shape", kernels, [SHAPES.get(k, "circle") for k in kernels]),
        ],
        axes=[
            {
                "orient": "left",
                "scale": "y",
                "values": log_ticks(*domains["y"]),
                "format": ".4~g",
                "labelOverlap": False,
            },
            {
                "orient": "bottom",
                "scale": "x",
                "values": log_ticks(*domains["x"]),
                "format": ".4~g",
                "labelOverlap": False,
                "title": "million multiply-accumulates",
            },
        ],
        marks=[
            y_title("milliseconds"),
            *_marks(kernels),
        ],
    )


def _marks(kernels: Sequence[int]) -> list[Spec]:
    """A mark for each block, and above them what they stand for."""
    block = {
        "type": "symbol",
        "from": {"data": "rows"},
        "encode": encoded(
            x={"scale": "x", "field": "x"},
            y={"scale": "y", "field": "y"},
            shape={"scale": "shape", "field": "k"},
            fill={"scale": "colour", "field": "k"},
            fillOpacity=0.6,
            size=36,
            tooltip={"field": "tip"},
        ),
    }
    named = [
        {
            "type": "text",
            "encode": encoded(
                x=8,
                y=8 + 16 * i,
                baseline="middle",
                text=f"{SIGNS.get(k, '●')} kernel {k}×{k}",
                fill=KERNELS.get(k, MUTED),
                fontSize=SMALL + 1,
            ),
        }
        for i, k in enumerate(kernels)
    ]
    return [block, *named]


def _ordinal(name: str, domain: list[int], values: list[str]) -> Spec:
    return {"name": name, "type": "ordinal", "domain": domain, "range": values}
