"""frontier.png: accuracy against latency or energy, of what a search found and of what is shown beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.prediction import interval_95
from ofa.reading.numbers import cut
from ofa.runs.files import replace_file
from ofa.search.specialised import Axis, Specialised

if TYPE_CHECKING:
    from ofa.priced import PricedNetwork

_LOGARITHMIC = 5  # an axis whose ends are farther apart than this factor, where other networks are on it
# markers of accuracies, by recipe
_MARKERS = {"paper": "s", "timm": "^", "stated": "D"}
_RECIPES = {"paper": "by its authors", "timm": "by timm's recipe", "stated": "as its file states"}
_SMALL = 7  # points
_MOST_LETTERS = 40  # of a name in a picture


def write_plot(
    path: Path,
    title: str,
    results: Mapping[str, Sequence[Specialised]],
    clouds: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    axis: Axis,
    batches: Mapping[str, int],
    others: Mapping[str, Sequence[PricedNetwork]] | None = None,
) -> None:
    """Accuracy against latency or energy: the networks found, one line a device, over random ones; by matplotlib.

    axis: of results and clouds, "latency" or "energy"; batches: how many images at once a table's figures are for
    others: networks in no space, by table; those whose accuracy is not known are ticks on the axis
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for position, (name, found) in enumerate(results.items()):
        colour = f"C{position}"
        axes.scatter(*clouds[name], s=2, alpha=0.25, color=colour, linewidths=0)
        ordered = sorted(found, key=lambda r: r.cost(axis))
        top1 = np.array([r.predicted_top1 for r in ordered])
        known = [interval_95(r.predicted_top1, r.predicted_top1_std) or (r.predicted_top1,) * 2 for r in ordered]
        axes.errorbar(
            [r.cost(axis) for r in ordered],
            top1,
            yerr=np.abs(np.array(known).reshape(-1, 2).T - top1),
            fmt="o-",
            markersize=4,
            capsize=2,
            color=colour,
            label=name if batches[name] == 1 else f"{name}: {batches[name]} images at once",
        )
        _draw_others(axes, (others or {}).get(name, ()), colour)
    axes.set_xlabel("latency (ms)" if axis == "latency" else "energy (mJ)")
    drawn = [one for priced in (others or {}).values() for one in priced if one.latency_ms is not None]
    axes.set_ylabel("top-1 (%): predicted, or published" if drawn else "predicted top-1 (%)")
    if drawn:
        axes.margins(x=0.1)  # for names
        _label_marks(axes, drawn)
        low, high = axes.dataLim.intervalx
        if low > 0 and high / low > _LOGARITHMIC:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    legend = axes.legend(title="found (dots: random sub-networks)", fontsize="small", title_fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a file may be called $x$.csv
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=150))
    plt.close(figure)


def _draw_others(axes: Any, others: Sequence[PricedNetwork], colour: str) -> None:
    """Those of known latency, with their names: filled as measured, hollow as the sum of their blocks."""
    for one in others:
        if one.latency_ms is None:
            continue
        marks = {"color": colour, "markerfacecolor": "white" if one.measured is None else colour}
        for recipe, top1 in one.top1.items():
            axes.plot(one.latency_ms, top1, _MARKERS[recipe], markersize=5, **marks)
        if one.top1:
            axes.plot([one.latency_ms] * 2, [min(one.top1.values()), max(one.top1.values())], ":", color=colour)
            where, across = max(one.top1.values()), axes.transData
        else:
            where, across = 0.0, axes.get_xaxis_transform()
            axes.plot(one.latency_ms, where, "|", color=colour, markersize=14, transform=across)
        twice = sum(one.name == other.name for other in others) > 1
        axes.annotate(
            cut(one.name, _MOST_LETTERS) + f", {one.resolution} px" * twice,
            (one.latency_ms, where),
            xycoords=across,
            xytext=(3, 4),
            textcoords="offset points",
            fontsize=_SMALL,
            rotation=0 if one.top1 else 60,
            parse_math=False,
        )


def _label_marks(axes: Any, drawn: Sequence[PricedNetwork]) -> None:
    """What the marks of other networks say, in the legend."""
    for recipe, marker in _MARKERS.items():
        if any(recipe in one.top1 for one in drawn):
            words = f"top-1 {_RECIPES[recipe]}"
            axes.plot([], [], marker, color="black", markerfacecolor="white", markersize=5, label=words)
    if any(not one.top1 for one in drawn):
        axes.plot([], [], "|", color="black", markersize=10, linestyle="", label="top-1 not known")
    measured = [one.measured is not None for one in drawn]
    how = "measured whole" if all(measured) else "filled: measured whole; hollow: sum of blocks"
    axes.plot([], [], " ", label=how if any(measured) else "hollow: sum of blocks")
