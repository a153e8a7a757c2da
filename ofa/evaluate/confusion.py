"""Which classes a network takes for which: accuracy class by class, and the matrix as a picture."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.images.files.names import shown
from ofa.runs.files import replace_file

MOST_NAMED = 60  # classes whose names a picture has room for


class Confusion:
    """Counts of (label, predicted class) over images.

    names: of the classes, in the order of the logits; one that has none is called by its number
    """

    def __init__(self, names: Mapping[int, str], num_classes: int) -> None:
        self.names = [names.get(i, f"class {i}") for i in range(num_classes)]
        self.counts: Counter[tuple[int, int]] = Counter()

    def add(self, labels: Iterable[int], predicted: Iterable[int]) -> None:
        """Takes in images, their labels and what a network took them for."""
        self.counts.update(zip(labels, predicted, strict=True))

    def images_of(self) -> dict[int, int]:
        """How many images each class has that has any, in order."""
        found: Counter[int] = Counter()
        for (label, _), count in self.counts.items():
            found[label] += count
        return dict(sorted(found.items()))

    def per_class(self) -> dict[str, dict[str, float | int]]:
        """Images and top-1 (%) of each class that has images, the worst first."""
        images = self.images_of()
        top1 = {i: 100 * self.counts[i, i] / count for i, count in images.items()}
        return {
            self.names[i]: {"images": images[i], "top1": top1[i]} for i in sorted(images, key=lambda i: (top1[i], i))
        }

    def to_dict(self) -> dict[str, dict[str, int]]:
        """By true class: how many of its images were taken for which, the most first."""
        found: dict[str, dict[str, int]] = {}
        for (label, predicted), count in sorted(
            self.counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])
        ):
            found.setdefault(self.names[label], {})[self.names[predicted]] = count
        return found

    def matrix(self) -> Any:
        """(classes, classes) counts: row = true class, column = predicted."""
        found = np.zeros((len(self.names), len(self.names)), np.int64)
        for (label, predicted), count in self.counts.items():
            found[label, predicted] = count
        return found


def write_picture(path: Path, confusion: Confusion, title: str) -> None:
    """The matrix as a PNG, each row in per cent of its class's images. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    counts = confusion.matrix()
    share = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    named = len(counts) <= MOST_NAMED
    side = min(24.0, 3 + 0.32 * len(counts)) if named else 9.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its font lacks some scripts
        figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
        drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        figure.colorbar(drawn, label="% of the class's images", shrink=0.7)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title(shown(title), parse_math=False)
        if named:
            _name_ticks(axes, confusion.names)
            for row, column in np.argwhere(counts):
                colour = "white" if share[row, column] > 50 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
        replace_file(path, lambda file: figure.savefig(file, format="png", dpi=110))
        plt.close(figure)


def _name_ticks(axes: Any, names: Sequence[str]) -> None:
    labels = [shown(name) if len(name) <= 24 else shown(name[:23]) + "…" for name in names]
    for axis, turned in ((axes.xaxis, 90), (axes.yaxis, 0)):
        axis.set_ticks(range(len(labels)), labels=labels, rotation=turned, fontsize=7, parse_math=False)
