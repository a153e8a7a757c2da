"""What N deployments cost, once for all and one network at a time: measured here, and printed in the paper.

    python benchmarks/training/deployment_cost.py
    python benchmarks/training/deployment_cost.py --plot out/deployment_cost.png --limits-per-device 4

A deployment is one device and one latency limit. The measured figures, each with its machine, date, command and log,
are in deployment_cost.toml. Core hours are added up:

- once for all: the supernet, the accuracies of sub-networks and the predictor once; for each device its table; for each
  deployment a search and an export;
- alone: one training for each deployment. Nothing is counted for the choice of its architecture, which favours it.

Energy is an estimate: core hours times --watts times --pue. A figure with `kwh` in deployment_cost.toml, from a counter
that was read during the run, replaces it. The virtual machine of the figures has no such counter (RAPL).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DATA = Path(__file__).with_suffix(".toml")
COUNTS = (1, 2, 3, 5, 10, 20, 40, 100, 300, 1000)
# what the plot has room for
SHOWN = ("OFA w/ PS", "OFA w/ PS #25", "OFA w/ PS #75", "MobileNetV3-Large", "ProxylessNAS", "FBNet-C", "MnasNet")
KG_PER_LB = 0.45359237
# Strubell et al. 2019 (arXiv 1906.02243, section 2), which the paper follows: 0.954 lbs of CO2e for a kWh (EPA 2018,
# the United States), power usage effectiveness 1.58
KG_PER_KWH = 0.954 * KG_PER_LB
PUE = 1.58
# the processor's own: an EPYC 9654 has a default TDP of 360 W for 96 cores. The machine hides which EPYC it is
WATTS = 360 / 96
Content = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """What a way costs: `once`, and `each` deployment, in hours of a core or of a GPU; or in kWh."""

    name: str
    once: float
    each: float

    def cost(self, deployments: int) -> float:
        return self.once + deployments * self.each


def break_even(first: Way, other: Way) -> int | None:
    """The least number of deployments for which `first` costs no more than `other`; None: for none, however many."""
    if first.once + first.each <= other.once + other.each:
        return 1
    if first.each >= other.each:
        return None
    found = max(1, round((first.once - other.once) / (other.each - first.each)))
    while first.cost(found) > other.cost(found):
        found += 1
    while found > 1 and first.cost(found - 1) <= other.cost(found - 1):
        found -= 1
    return found


def hours(figure: Content) -> float:
    """Core hours. Of a training: epochs times the median of their seconds, since jobs were stopped now and then."""
    if "core_seconds" in figure:
        return float(figure["core_seconds"]) / 3600
    return float(figure["epochs"] * statistics.median(figure["epoch_seconds"])) / 3600


def kwh(figure: Content, watts: float, pue: float) -> float:
    """Read while it ran, if the figure says so; else an estimate."""
    return float(figure["kwh"]) if "kwh" in figure else hours(figure) * watts / 1000 * pue


def ways_of(data: Content, limits_per_device: int, finetune_epochs: int, measure: Any = hours) -> list[Way]:
    """Once for all, then every training alone. measure: hours, or kWh, of a figure.

    Fine-tuning is an estimate: the mean epoch of the networks that were trained alone.
    """
    once = sum(measure(data[key]) for key in ("supernet", "collect", "fit"))
    each = measure(data["profile"]) / limits_per_device + measure(data["search"]) + measure(data["export"])
    alone = data["alone"]
    short = [one for one in alone if one["epochs"] == min(one["epochs"] for one in alone)]
    epoch = statistics.mean(measure(one) / one["epochs"] for one in short)
    name = f"once for all, fine-tuned {finetune_epochs} epochs" if finetune_epochs else "once for all"
    mean = Way(f"alone, {short[0]['epochs']} epochs, mean", 0, statistics.mean(measure(one) for one in short))
    others = [Way(f"alone: {one['what']}, {one['epochs']} epochs", 0, measure(one)) for one in alone]
    return [Way(name, once, each + finetune_epochs * epoch), mean, *others]


def paper_ways(data: Content) -> list[Way]:
    """Table 1 of the paper, in GPU hours."""
    return [Way(one["name"], one["once"], one["each"]) for one in data["paper"]]


def lbs_per_gpu_hour(data: Content) -> float:
    """What the paper's table counts, by its largest printed totals, which are rounded least."""
    largest = max(data["paper"], key=lambda one: one["printed_thousand_hours"])
    return float(largest["printed_thousand_lbs"] / largest["printed_thousand_hours"])


def figures_table(data: Content) -> Table:
    table = Table("figure", "core hours", "first to third quartile", "machine", "date", title="measured")
    for key in ("supernet", "supernet_again", "collect", "fit", "profile", "search", "export"):
        table.add_row(data[key]["what"], f"{hours(data[key]):.4f}", spread(data[key]), *where(data[key]))
    for one in data["alone"]:
        table.add_row("alone: " + one["what"], f"{hours(one):.4f}", spread(one), *where(one))
    return table


def where(figure: Content) -> tuple[str, str]:
    return figure["machine"], figure["date"]


def spread(figure: Content) -> str:
    """Of the epochs, as hours of the whole training."""
    if "epoch_seconds" not in figure:
        return ""
    low, _, high = statistics.quantiles(figure["epoch_seconds"], n=4)
    return f"{low * figure['epochs'] / 3600:.3f} to {high * figure['epochs'] / 3600:.3f}"


def costs_table(title: str, unit: str, ways: Sequence[Way], ours: int = 1) -> Table:
    """ours: how many ways, from the first on, are once for all; the first's break-even with the others is shown."""
    table = Table(f"{unit}, for N =", *(str(n) for n in COUNTS), "break-even", title=title)
    for place, way in enumerate(ways):
        even = break_even(ways[0], way)
        shown = "" if place < ours else "never" if even is None else f"N = {even}"
        table.add_row(way.name, *(digits(way.cost(n)) for n in COUNTS), shown)
    return table


def digits(value: float) -> str:
    """Three of them, and all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def counter() -> str:
    """Whether this machine counts its processor's energy, so that a run's `kwh` could be read here."""
    found = [*Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj")]
    return f"{found[0]} can be read before and after a run" if found else "none (no RAPL in /sys/class/powercap)"


def accuracy_table(data: Content) -> Table:
    table = Table("trained alone", "epochs", "top-1, %", "in the supernet, three seeds", "difference")
    for one in data["alone"]:
        within = one["top1_in_supernet"]
        gain = one["top1"] - statistics.mean(within)
        table.add_row(one["what"], str(one["epochs"]), f"{one['top1']:.2f}", f"{within}", f"{gain:+.2f}")
    return table


def draw(path: Path, here: Sequence[Way], paper: Sequence[Way]) -> None:
    """Both scales side by side. Needs matplotlib, of the extra `report`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    titles = "measured here: Imagenette, 10 classes", "Cai et al. 2020, table 1: ImageNet"
    for axis, ways, unit, title in zip(axes, (here, paper), ("core hours", "GPU hours"), titles, strict=True):
        for way in ways:
            first = way is ways[0]
            axis.plot(COUNTS, [way.cost(n) for n in COUNTS], label=way.name, linewidth=3 if first else 1.3)
        axis.set(xscale="log", yscale="log", xlabel="deployments", ylabel=unit, title=title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def results(data: Content, here: Sequence[Way], energy: Sequence[Way], kg_per_kwh: float) -> Content:
    """All of it, for --out."""
    rate = lbs_per_gpu_hour(data)
    paper = paper_ways(data)

    def rows(ways: Sequence[Way], kg: float, unit: str) -> list[Content]:
        return [
            {"name": w.name, unit: {n: w.cost(n) for n in COUNTS}, "kg_co2e": {n: w.cost(n) * kg for n in COUNTS}}
            for w in ways
        ]

    return {
        "core_hours": [{"name": w.name, "once": w.once, "each": w.each} for w in here],
        "energy": rows(energy, kg_per_kwh, "kwh"),
        "paper": rows(paper, rate * KG_PER_LB, "gpu_hours"),
        "break_even": {w.name: break_even(here[0], w) for w in here[1:]},
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the measured figures (TOML)")
    parser.add_argument("--limits-per-device", type=int, default=1, help="deployments that share a device's table")
    parser.add_argument("--finetune-epochs", type=int, default=0, help="for each deployment; an estimate")
    parser.add_argument("--watts", type=float, default=WATTS, help="of a busy core (default: 3.75, EPYC 9654's TDP)")
    parser.add_argument("--pue", type=float, default=PUE, help="power of building over machines' (1.58, Strubell 2019)")
    parser.add_argument("--kg-per-kwh", type=float, default=KG_PER_KWH, help="CO2e (default: 0.4327, Strubell 2019)")
    parser.add_argument("--plot", type=Path, help="a PNG; needs matplotlib (the extra report)")
    parser.add_argument("--out", type=Path, help="the figures as JSON")
    options = parser.parse_args(argv)
    if min(options.limits_per_device, options.finetune_epochs + 1) < 1:
        parser.error("--limits-per-device is at least 1, --finetune-epochs at least 0")
    data: Content = tomllib.loads(options.data.read_text(encoding="utf-8"))

    def energy_of(figure: Mapping[str, Any]) -> float:
        return kwh(dict(figure), options.watts, options.pue)

    here = ways_of(data, options.limits_per_device, options.finetune_epochs)
    energy = ways_of(data, options.limits_per_device, options.finetune_epochs, energy_of)
    grams = [Way(w.name, w.once * options.kg_per_kwh * 1000, w.each * options.kg_per_kwh * 1000) for w in energy]
    by_name = {way.name: way for way in paper_ways(data)}
    ours = [by_name.pop(name) for name in ("OFA w/ PS", "OFA w/ PS #25", "OFA w/ PS #75")]
    paper = [*ours, *by_name.values()]
    rate = lbs_per_gpu_hour(data) * KG_PER_LB / 1000
    tonnes = [Way(way.name, way.once * rate, way.each * rate) for way in paper]
    console = Console(width=190)
    console.print(figures_table(data))
    console.print(costs_table("measured here, core hours", "core hours", here))
    console.print(f"energy counter of this machine: {counter()}")
    words = f"estimate: {options.watts:.3g} W a core, PUE {options.pue:.3g}, {options.kg_per_kwh:.4g} kg a kWh"
    console.print(costs_table(f"energy here ({words})", "kWh", energy))
    console.print(costs_table(f"CO2e here ({words})", "grams", grams))
    console.print(
        costs_table("Cai et al. 2020, table 1 (ImageNet); break-even of the first row", "GPU hours", paper, 3)
    )
    console.print(costs_table(f"the same, CO2e as there, {rate * 1000:.3g} kg a GPU hour", "tonnes", tonnes, 3))
    console.print(accuracy_table(data))
    if options.plot:
        draw(options.plot, here, [way for way in paper if way.name in SHOWN])
        console.print(f"wrote {options.plot}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        content = results(data, here, energy, options.kg_per_kwh)
        options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")
        console.print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
