"""Published networks that others timed on phones, beside found networks whose latency there is *estimated*.

    python benchmarks/search/published_phones.py --figures ../shared/reference

FOLDER/networks/qed_usc_phone_cnns.csv holds the phones' latencies (qed-usc/mobile-ml-benchmark, MIT: TFLite, float, one
large core, 224 px). A cost model of the Note10's table is scaled to the published networks of each phone, and gives an
estimated table (docs/transfer.md). The exact search finds the frontier there. `error` is of the published networks,
each predicted from the others: found networks are as uncertain, and more where they differ from all of them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import all_blocks
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.published import PUBLISHED, published_top1
from ofa.published.accuracies import RECIPES
from ofa.search.specialise import DeviceSearch
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from profilers.estimating.cost_model import Fit, fit_networks, fit_table, table_terms
from profilers.estimating.estimate import estimated_rows
from profilers.published.advantage import Advantage, Point, advantage, frontier_of

# pytorchcv's names; its MobileNetV3 and MnasNet-A1 have up to 3 % more multiply-accumulates in squeeze-and-excite
NETWORKS = {
    "mobilenet_v2": "mobilenetv2b_w1",
    "mobilenet_v3_small": "mobilenetv3_small_w1",
    "mobilenet_v3_large": "mobilenetv3_large_w1",
    "mnasnet_a1": "mnasnet_a1",
    "mnasnet_b1": "mnasnet_b1",
    "proxylessnas_mobile": "proxylessnas_mobile",
    "fbnet_c": "fbnet_cb",
    "resnet18": "resnet18",
}
PHONES = {"pixel4": "Pixel 4", "s10": "Galaxy S10", "mi8se": "Mi 8 SE", "iphone7": "iPhone 7"}
# compared, and not fitted on: all of its arithmetic is in full convolutions, which no found network has but in its stem
APART = "resnet18"
SPACE, RESOLUTIONS = "mbv3-w1.0", (128, 160, 192, 208, 224)


def latencies(file: Path, phone: str) -> NDArray[np.float64]:
    """(networks,) ms on one large core."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    return np.array([float(rows[name][f"{phone}_1large_float_ms"]) for name in NETWORKS.values()])


def frontier(fit: Fit) -> list[Point]:
    """Of the space in the estimated table; the error is the fit's, as a share."""
    space = get_space(SPACE)
    header = {"device": "phone", "runtime": "TFLite", "space": SPACE, "source": "estimated", "provenance": "estimated"}
    table = LatencyTable(header, estimated_rows(fit, all_blocks(space, RESOLUTIONS)))
    found = DeviceSearch("phone", table, AccuracyPredictor.default(space), space, RESOLUTIONS).frontier()
    assert found is not None
    error = float(np.abs(fit.errors_pct).mean()) / 100
    return frontier_of(Point(float(ms), error, float(top1)) for ms, top1 in zip(found.cost, found.top1, strict=True))


def times(points: list[Point], name: str, ms: float) -> str:
    """How many times as fast found networks of equal top-1 are, by the paper's and by timm's; "-" where none is."""
    words = []
    for recipe in RECIPES:
        stated = published_top1(name, 224, recipe)
        gain = Advantage(None, None, None) if stated is None else advantage(points, Point(ms, 0.0, stated.top1))
        times_faster = "-" if gain.times_faster is None else f"{gain.times_faster:.2f}"
        words.append(f"{'> ' * gain.at_least_faster}{times_faster}")
    return " / ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, required=True, metavar="FOLDER")
    file = parser.parse_args().figures / "networks" / "qed_usc_phone_cnns.csv"
    terms = np.array([table_terms(PUBLISHED[name].blocks()).sum(axis=0) for name in NETWORKS])
    fitted = np.array([name != APART for name in NETWORKS])
    prior = fit_table(LatencyTable.load(find_table("note10")))
    rows = [[PUBLISHED[name].title] for name in NETWORKS]
    error = ["error, mean (worst)"]
    for phone in PHONES:
        ms = latencies(file, phone)
        fit = fit_networks(prior, terms[fitted], ms[fitted])
        points = frontier(fit)
        errors = np.abs(fit.errors_pct)
        error.append(f"{errors.mean():.1f} ({errors.max():.1f}) %")
        for cells, name, took in zip(rows, NETWORKS, ms.tolist(), strict=True):
            cells.append(f"{took:.1f} ms: {times(points, name, took)}")
    print("how many times as fast found networks are, ESTIMATED: at the paper's top-1 / at timm's\n")
    for cells in (["network", *PHONES.values()], ["---"] * (len(PHONES) + 1), *rows, error):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
