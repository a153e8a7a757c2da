"""Both frontiers of two_spaces.sh: what was predicted, beside latencies and accuracies that were measured.

    python benchmarks/training/two_frontiers.py out/two-spaces/v3 out/two-spaces/v4 --plot docs/figures/two_spaces.svg

A folder has what two_spaces.sh leaves there: frontier/*.frontier.csv (ofa.search without limits), found/result.json
(within limits), found/verified.json (profilers.verify) and found/accuracy.json (ofa.evaluate). The last two may be
absent.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Z95 = 1.96


@dataclass(frozen=True)
class FoundPoint:
    """The network of a limit: predicted and measured; None where that was not measured.

    error_ms: standard error of what was measured; doubtful: the machine was busy then; sd: of the measured top-1
    """

    limit_ms: float
    sum_ms: float
    predicted: float
    predicted_sd: float
    measured_ms: float | None
    error_ms: float
    doubtful: bool
    top1: float | None
    sd: float | None
    macs_millions: float
    resolution: int


@dataclass(frozen=True)
class SpaceFrontier:
    """line: (ms, top-1) of the whole frontier, as predicted"""

    name: str
    line: tuple[tuple[float, float], ...]
    points: tuple[FoundPoint, ...]


def read_frontier(folder: Path) -> SpaceFrontier:
    """What a folder of two_spaces.sh holds."""
    (file,) = folder.glob("frontier/*.frontier.csv")
    rows = csv.DictReader(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    line = tuple((float(row["latency_ms"]), float(row["predicted_top1"])) for row in rows)
    found = json.loads((folder / "found/result.json").read_text(encoding="utf-8"))
    verified = read_optional(folder / "found/verified.json").get("verification", {}).get("networks", [])
    whole = {json.dumps(one["subnet"]): one for one in verified}
    evaluated = {
        json.dumps(one["subnet"]): one for one in read_optional(folder / "found/accuracy.json").get("results", [])
    }
    points = []
    for result in found["results"]:
        key = json.dumps(result["subnet"])
        accuracy, timed = evaluated.get(key), whole.get(key)
        points.append(
            FoundPoint(
                limit_ms=result["limit_ms"],
                sum_ms=result["latency_ms"],
                predicted=result["predicted_top1"],
                predicted_sd=result["predicted_top1_std"] or math.nan,
                measured_ms=None if timed is None else timed["measured_ms"],
                error_ms=0.0 if timed is None else timed["measured_ms"] * (timed["standard_error_pct"] or 0.0) / 100,
                doubtful=timed is not None and timed["doubtful"],
                top1=None if accuracy is None else accuracy["top1"],
                sd=None if accuracy is None else binomial_sd(accuracy["top1"], accuracy["images"]),
                macs_millions=result["macs_millions"],
                resolution=result["subnet"]["resolution"],
            )
        )
    return SpaceFrontier(found["space"], line, tuple(points))


def read_optional(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def binomial_sd(top1: float, images: int) -> float:
    """The standard deviation of an accuracy on so many images, per cent."""
    return math.sqrt(top1 * (100 - top1) / images)


def points_table(frontier: SpaceFrontier) -> Table:
    heads = ("limit, ms", "sum, ms", "measured, ms", "px", "MMACs", "top-1 predicted, %", "measured, %")
    table = Table(*heads, title=frontier.name)
    for point in frontier.points:
        table.add_row(
            f"{point.limit_ms:g}",
            f"{point.sum_ms:.3f}",
            ""
            if point.measured_ms is None
            else f"{point.measured_ms:.3f}{'?' * point.doubtful} ({point.error_ms:.3f})",
            str(point.resolution),
            f"{point.macs_millions:.1f}",
            f"{point.predicted:.1f} ({point.predicted_sd:.1f})",
            "" if point.top1 is None else f"{point.top1:.1f} ({point.sd:.1f})",
        )
    return table


def draw(path: Path, frontiers: Sequence[SpaceFrontier]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "two_frontiers"  # the same file from the same figures
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    for place, frontier in enumerate(frontiers):
        colour = f"C{place}"
        axes.step(*zip(*frontier.line, strict=True), where="post", color=colour, label=f"{frontier.name}: predicted")
        known = [p for p in frontier.points if p.top1 is not None and p.sd is not None]
        what = "both" if known and all(p.measured_ms is not None for p in known) else "top-1"
        axes.errorbar(
            [p.sum_ms if p.measured_ms is None else p.measured_ms for p in known],
            [p.top1 for p in known],
            xerr=[Z95 * p.error_ms for p in known],
            yerr=[Z95 * (p.sd or 0.0) for p in known],
            fmt="o",
            color=colour,
            markersize=4,
            capsize=2,
            label=f"{frontier.name}: {what} measured",
        )
    axes.set_xlabel("latency (ms)")
    axes.set_ylabel("top-1 (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a picture: .svg or .png")
    args = parser.parse_args(argv)
    frontiers = [read_frontier(folder) for folder in args.folders]
    console = Console()
    for frontier in frontiers:
        console.print(points_table(frontier))
    if args.plot is not None:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(args.plot, frontiers)
        console.print(f"wrote {args.plot}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
