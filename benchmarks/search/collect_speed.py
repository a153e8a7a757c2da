"""Measuring sub-networks together, what they share run once, against one after the other, as ofa.evaluate does.

Both calibrate and evaluate the same random sub-networks on the same random images, in turns, on one thread; the time
is the processor's, without decoding; on a GPU that of the clock on the wall, bytes lying on the GPU. The accuracies are
checked to be equal, and the losses to be so but for rounding (fp32).

    python benchmarks/search/collect_speed.py --space mbv3-w0.35 --resolutions 48,64,80,96 --group 16
    python benchmarks/search/collect_speed.py --resolutions 48,64,80,96 --cores 2     # a group a core, as collect does
    python benchmarks/search/collect_speed.py --device cuda --precision bf16 --space mbv3-w1.0 \\
        --resolutions 128,160,192,224 --batch-size 500 --batches 4 --together
    python benchmarks/search/collect_speed.py --space mbv3-w1.0 --resolutions 128 --operators    # what a GPU launches
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ofa.cli.options import resolutions as resolution_list
from ofa.evaluate.precision import autocast
from ofa.evaluate.scores import Scores, scores_of
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import IMAGENET
from ofa.networks import Supernet, build_supernet, calibrate_bn
from ofa.networks.calibrate import Calibrating
from ofa.networks.layers import placed
from ofa.networks.tree import SubnetTree
from ofa.predictors.collect.measuring import PreparedImages, draw, groups, measure, tree_order
from ofa.runs.system import keep_memory
from ofa.runs.threads import in_threads
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
    parser.add_argument("--device", default="cpu", metavar="D")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--calibration-batch", type=int, default=64, metavar="N")
    parser.add_argument("--together", action="store_true", help="only together, nothing one by one")
    parser.add_argument("--cores", type=int, metavar="N", help="time a group a core against N threads an operator")
    parser.add_argument("--operators", action="store_true", help="only count what PyTorch is told, of a group")
    args = parser.parse_args(argv)
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space, device = get_space(args.space, 10), torch.device(args.device)
    net = build_supernet(space, dropout=0.0).eval()
    placed(net, device)
    subnets = draw(space, args.resolutions, 0, range(args.subnets))
    order = tree_order(space, subnets)
    for resolution in args.resolutions:
        images = images_at(resolution, args.batch_size, args.batches, args.calibration_batch).to(device)
        here = [i for i in order if subnets[i].resolution == resolution]
        count = args.batch_size * args.batches
        if args.operators:
            count_operators(SubnetTree(net, [subnets[i] for i in here[: args.group[0]]]), resolution)
            continue
        if args.cores:
            on_cores(net, subnets, here, images, args.group[0], args.cores)
            continue
        for size in args.group:
            middle = list(groups(subnets, here, size))[len(here) // size // 2]
            asked = [subnets[i] for i in middle]
            if device.type == "cuda":
                measure(net, asked, images, precision=args.precision)  # kernels are compiled
            together = now(device)
            shared = measure(net, asked, images, precision=args.precision)
            alone = now(device)
            if args.together:
                each = 1e3 * (alone - together) / len(asked)
                print(
                    f"{resolution} px, groups of {len(asked)}: {each:.1f} ms a sub-network, {count} images", flush=True
                )
                continue
            with autocast(args.precision, device):
                single = [one(net, subnet, images) for subnet in asked]
            end = now(device)
            for a, b in zip(shared, single, strict=True) if args.precision == "fp32" else ():
                assert (a.images, a.top1, a.top5) == (b.images, b.top1, b.top5)
                assert math.isclose(a.loss_sum, b.loss_sum, rel_tol=1e-5)
            both = [1e3 * seconds / len(asked) / count for seconds in (alone - together, end - alone)]
            print(
                f"{resolution} px, groups of {len(asked)}: {both[0]:.2f} ms for an image to calibrate and one to "
                f"evaluate on, {both[1]:.2f} ms one by one: {both[1] / both[0]:.2f}x",
                flush=True,
            )
    return 0


def on_cores(
    net: Supernet, subnets: Sequence[Subnet], here: Sequence[int], images: PreparedImages, size: int, cores: int
) -> None:
    """Prints what a network takes with a group on each core, and with every operator on all of them; of two turns."""
    chosen = list(groups(subnets, here, size))[: 2 * cores]
    count = sum(map(len, chosen)) * sum(len(batch.labels) for batch in images.evaluation)

    def one(group: Sequence[int]) -> list[Scores]:
        return measure(net, [subnets[i] for i in group], images)

    for _ in range(2):
        begun = time.perf_counter()
        for _, _ in in_threads(one, chosen, cores):
            pass
        between = time.perf_counter()
        torch.set_num_threads(cores)
        for group in chosen:
            one(group)
        ended = time.perf_counter()
        torch.set_num_threads(1)
        each, all_cores = (1e3 * seconds / count for seconds in (between - begun, ended - between))
        print(
            f"{subnets[here[0]].resolution} px, {cores} cores: {each:.2f} ms for an image to calibrate and one to "
            f"evaluate on, {all_cores:.2f} ms with each operator on all: {all_cores / each:.2f}x",
            flush=True,
        )


class Counted(TorchDispatchMode):
    """Counts operators but for views, which launch nothing on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def count_operators(tree: SubnetTree, resolution: int) -> None:
    """Prints how many operators a group takes: for each batch to calibrate, beside all of them, and to fold."""
    images = torch.randn(2, 3, resolution, resolution)
    counts: list[int] = []
    for batches in (1, 2):
        with Counted() as counted:
            statistics = tree.calibrate([images] * batches)
        counts.append(counted.count)
    with Counted() as counted:
        tree.folded(statistics)
    print(
        f"{resolution} px, a group of {len(tree.subnets)}: {counts[1] - counts[0]} operators that are no views for a "
        f"batch to calibrate, {2 * counts[0] - counts[1]} beside, {counted.count} to fold",
        flush=True,
    )


def now(device: torch.device) -> float:
    """Seconds: of the processor, or where there is a GPU of the clock on the wall, when the GPU is done."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def one(net: Supernet, subnet: Subnet, images: PreparedImages) -> Scores:
    """What `ofa.evaluate` computes for a sub-network."""
    device = next(net.parameters()).device
    statistics = calibrate_bn(net, subnet, images.calibration_batches(device, lambda _: None))
    scores = Scores()
    with torch.inference_mode():
        for batch in images.evaluation:
            scores += scores_of(
                net(batch.images(device, images.mean, images.std), subnet, statistics), batch.labels.to(device)
            )
    return scores


def images_at(resolution: int, batch_size: int, batches: int, cut: int) -> PreparedImages:
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
    return PreparedImages(halves[0], halves[1], *IMAGENET, Calibrating(cut))


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
