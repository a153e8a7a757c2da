"""Whole networks as sums of blocks predict them, against what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.runs.files import replace_file

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def write_plot(
    path: Path, title: str, points: Mapping[str, Points], unit: str, limits_ms: Sequence[float] = ()
) -> None:
    """Predicted against measured latency, with 5 % on both sides, and a line for each limit; by matplotlib.

    points: by the name in the legend, (N,) measured and (N,) predicted ms; unit: of the axes
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    everything = np.concatenate([np.concatenate(pair) for pair in points.values()])
    ends = np.array([everything.min(), everything.max()])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.fill_between(ends, 0.95 * ends, 1.05 * ends, alpha=0.15, color="C0", label="within 5 %")
    for number, (name, (measured, predicted)) in enumerate(points.items()):
        axes.scatter(measured, predicted, s=8 if number == 0 else 30, color=f"C{number}", zorder=3, label=name or None)
    for number, limit in enumerate(limits_ms):
        axes.axvline(limit, color="grey", linewidth=0.6, linestyle=":", label="limits" if number == 0 else None)
    axes.set_xlabel(f"measured, whole network ({unit})")
    axes.set_ylabel(f"predicted, sum of blocks ({unit})")
    axes.set_title(title, fontsize="small", parse_math=False)  # a device may be called $x$
    axes.legend(fontsize="small")
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)
