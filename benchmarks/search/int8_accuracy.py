"""What int8 costs of accuracy: sub-networks of a supernet in float32, rounded in PyTorch, and as int8 files.

    python benchmarks/search/int8_accuracy.py --data imagenette2-160 --subnets 20 --resolutions 64,96

Each sub-network is calibrated, cut out and quantised as ofa.export does it; files run in onnxruntime and LiteRT.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from ofa.checkpoints.images import open_evaluation_images
from ofa.checkpoints.opening import open_supernet
from ofa.checkpoints.shipped import WEIGHTS
from ofa.export.folding import trained_graph
from ofa.export.runtimes import runner
from ofa.graph import fake_int8
from ofa.graph.onnx_int8 import write_onnx_int8
from ofa.graph.tflite_int8 import write_tflite_int8
from ofa.images.pixels.store import PixelStore
from ofa.networks import calibrate_bn, extract
from ofa.predictors.collect.config import CollectConfig
from ofa.predictors.collect.int8 import RANGE_IMAGES
from ofa.predictors.collect.measuring import draw

BATCH = 50
CPU = torch.device("cpu")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=WEIGHTS / "mbv3-w0.35.safetensors")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--resolutions", default="64,96")
    parser.add_argument("--together", default="10", help="images whose extremes are one observation, such as 1,10,200")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [int(size) for size in args.resolutions.split(",")]
    config = CollectConfig(checkpoint=args.checkpoint, data=args.data, calibration_images=1000)
    net = open_supernet(args.checkpoint).eval()
    images = open_evaluation_images(args.checkpoint, net.space.num_classes, config, config, args.seed)
    assert images.calibration is not None
    evaluated = (images.data, images.evaluated.at_random(args.images, args.seed))
    stores = [PixelStore(folder, which, sizes, BATCH) for folder, which in (images.calibration, evaluated)]
    ways = [int(count) for count in args.together.split(",")]
    rows: list[dict[str, float]] = []
    for subnet in draw(net.space, sizes, args.seed, range(args.subnets)):
        batches = [store.batches[subnet.resolution] for store in stores]
        given, shown = ([batch.images(CPU, images.facts.mean, images.facts.std) for batch in of] for of in batches)
        labels = torch.cat([batch.labels for batch in batches[1]]).numpy()
        graph = trained_graph(extract(net, subnet, calibrate_bn(net, subnet, images.cut.batches(given))), batch=BATCH)
        rows.append(measured(graph, torch.cat(given)[:RANGE_IMAGES], shown, labels, ways))
        print(f"{subnet.resolution} px {' '.join(f'{key} {value:.2f}' for key, value in rows[-1].items())}", flush=True)
    summary(rows)
    return 0


def measured(graph, ranged, shown, labels, ways):  # type: ignore[no-untyped-def]
    """Top-1 in per cent of one network in every way, and how often two agree."""

    def classes(run):  # type: ignore[no-untyped-def]
        with torch.inference_mode():
            return np.concatenate([np.asarray(run(batch)) for batch in shown]).argmax(1)

    in_float = classes(fake_int8.build_torch(graph))
    row = {"float": 100 * (in_float == labels).mean()}
    for together in ways:
        fake_int8.TOGETHER = together
        ranges = fake_int8.observed_ranges(graph, [ranged])
        rounded = classes(fake_int8.fake_int8(graph, ranges))
        row |= {f"rounded-{together}": 100 * (rounded == labels).mean()}
        for name, model in (("onnx", write_onnx_int8(graph, ranges)), ("tflite", write_tflite_int8(graph, ranges))):
            run = runner(name, model, BATCH)
            found = classes(lambda batch, run=run: run(batch.numpy()))
            row |= {
                f"{name}-{together}": 100 * (found == labels).mean(),
                f"{name}-{together}-as-rounded": 100 * (found == rounded).mean(),
                f"{name}-{together}-as-float": 100 * (found == in_float).mean(),
            }
    return row


def summary(rows: list[dict[str, float]]) -> None:
    """Means over the networks, of top-1 as what is lost against float32, with standard deviation and worst."""
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        if "-as-" in key or key == "float":
            print(f"{key}: mean {values.mean():.2f} %, least {values.min():.2f}")
            continue
        lost = np.array([row["float"] for row in rows]) - values
        print(f"{key}: loses {lost.mean():.2f} points (sd {lost.std(ddof=1):.2f}, worst {lost.max():.2f})")


if __name__ == "__main__":
    sys.exit(main())
