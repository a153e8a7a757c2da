"""Measuring sub-networks together, what they share run once, against one after the other, as ofa.evaluate does.

Both calibrate and evaluate the same random sub-networks on the same random images, in turns, on one thread; the time
is the processor's, without decoding. The accuracies are checked to be equal, and the losses to be so but for rounding.

    python benchmarks/search/collect_speed.py --space mbv3-w0.35 --resolutions 48,64,80,96 --group 16
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

import torch

from ofa.cli.options import resolutions as resolution_list
from ofa.evaluate.scores import Scores, scores_of
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import IMAGENET
from ofa.networks import Supernet, build_supernet, calibrate_bn
from ofa.predictors.collect.measuring import PreparedImages, draw, groups, measure, tree_order
from ofa.space import Subnet, get_space


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", default="mbv3-w0.35", metavar="S")
    parser.add_argument("--resolutions", type=resolution_list, default=(48, 64, 80, 96), metavar="R")
    parser.add_argument(
        "--subnets", type=int, default=1000, metavar="N", help="drawn; of each resolution one group runs"
    )
    parser.add_argument(
        "--group", type=int, nargs="+", default=[16], metavar="N", help="sub-networks that run together"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--batches", type=int, default=4, metavar="N", help="to calibrate, and as many to evaluate")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = get_space(args.space, 10)
    net = build_supernet(space, dropout=0.0).eval()
    subnets = draw(space, args.resolutions, 0, range(args.subnets))
    order = tree_order(space, subnets)
    for resolution in args.resolutions:
        images = images_at(resolution, args.batch_size, args.batches)
        here = [i for i in order if subnets[i].resolution == resolution]
        count = args.batch_size * args.batches
        for size in args.group:
            middle = list(groups(subnets, here, size))[len(here) // size // 2]
            asked = [subnets[i] for i in middle]
            together = time.process_time()
            shared = measure(net, asked, images)
            alone = time.process_time()
            single = [one(net, subnet, images) for subnet in asked]
            end = time.process_time()
            for a, b in zip(shared, single, strict=True):
                assert (a.images, a.top1, a.top5) == (b.images, b.top1, b.top5)
                assert math.isclose(a.loss_sum, b.loss_sum, rel_tol=1e-5)
            both = [1e3 * seconds / len(asked) / count for seconds in (alone - together, end - alone)]
            print(
                f"{resolution} px, groups of {len(asked)}: {both[0]:.2f} ms for an image to calibrate and one to "
                f"evaluate on, {both[1]:.2f} ms one by one: {both[1] / both[0]:.2f}x",
                flush=True,
            )
    return 0


def one(net: Supernet, subnet: Subnet, images: PreparedImages) -> Scores:
    """What `ofa.evaluate` computes for a sub-network."""
    device = torch.device("cpu")
    statistics = calibrate_bn(net, subnet, images.calibration_batches(device, lambda _: None))
    scores = Scores()
    with torch.inference_mode():
        for batch in images.evaluation:
            scores += scores_of(net(batch.images(device, images.mean, images.std), subnet, statistics), batch.labels)
    return scores


def images_at(resolution: int, batch_size: int, batches: int) -> PreparedImages:
    """Random images, as many to calibrate as to evaluate on."""
    halves = [
        [
            PixelBatch(
                torch.randint(0, 256, (batch_size, resolution, resolution, 3), dtype=torch.uint8),
                torch.randint(0, 10, (batch_size,)),
            )
            for _ in range(batches)
        ]
        for _ in range(2)
    ]
    return PreparedImages(halves[0], halves[1], *IMAGENET)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
