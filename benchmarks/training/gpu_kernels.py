"""What a GPU takes for the kernels of a training, without the time of launching them.

    python benchmarks/training/gpu_kernels.py --out kernels.jsonl
    python benchmarks/training/gpu_kernels.py --device cpu --batch-size 2 --out dry.jsonl   # a dry run, marked as one

First, forward and backward passes of one sub-network of mbv3-w1.0 at 128 px in one CUDA graph: contiguous by PyTorch's
kernels, channels-last by cuDNN, which plans every shape first (`first_s`), and channels-last by ours. `worst_gradient`:
of all weights, the largest distance of a replay's gradient from that without a graph, by its norm. The kernels that
take longest follow. Then our depthwise kernels alone, in us: forward, gradient of the image, gradient of the weights,
and `once_us`, to read and write both maps once at --bandwidth. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import runpy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from unittest import mock

import torch
import torch.nn.functional as F

from ofa.networks import build_supernet, gpu
from ofa.networks.layers import use_memory_format
from ofa.space import get_space
from ofa.space.mit_format import subnet_from_mit
from ofa.training.precision import LAYOUTS
from ofa.training.step import supernet_run

WAYS = (("bf16", "contiguous", False), ("bf16", "channels-last", True), ("bf16", "channels-last", False),
        ("fp32", "contiguous", False))  # fmt: skip
# channels, side, kernel size, stride: of mbv3-w1.0 at 128 px
SHAPES = ((144, 32, 5, 1), (144, 32, 3, 1), (240, 16, 7, 1), (96, 64, 5, 2), (480, 8, 5, 1))
SIZE, MOST = 128, 20


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--bandwidth", type=float, default=4.3, help="TB/s of the GPU's memory (default: an H200's)")
    parser.add_argument("--out", type=Path, required=True, help="file of results, a JSON object a line")
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    with args.out.open("w", encoding="utf-8") as out:
        for precision, layout, ours in WAYS:
            for found in passes(device, args.batch_size, precision, layout, ours=ours):
                tell(out, found, device)
        if device.type == "cuda":
            for shape in SHAPES:
                tell(out, depthwise_us(device, args.batch_size, shape, args.bandwidth), device)
    if device.type != "cuda":
        print("dry run: the CPU stands in a GPU's place, and no figure means anything")
    return 0


def tell(out: IO[str], found: dict[str, Any], device: torch.device) -> None:
    line = json.dumps(found | ({} if device.type == "cuda" else {"dry_run": True}))
    print(line, flush=True)
    print(line, file=out, flush=True)


@contextmanager
def kernels_of(ours: bool) -> Iterator[None]:
    """Within, our kernels are used where they run, or nowhere."""
    if ours:
        yield
    else:
        with mock.patch.object(gpu, "quick", lambda _: False):
            yield


def passes(device: torch.device, batch: int, precision: str, layout: str, *, ours: bool) -> Iterator[dict[str, Any]]:
    """Forward and backward passes of one sub-network; on a GPU in one graph, and its kernels."""
    config = runpy.run_path(str(Path(__file__).with_name("gpu_steps.py")))["CONFIG"]
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    space = get_space("mbv3-w1.0")
    net = build_supernet(space, 0.0)
    use_memory_format(net, LAYOUTS[layout])
    net.to(device)
    subnet, run = subnet_from_mit(space, config, SIZE), supernet_run(net)
    images, labels = torch.randn(batch, 3, SIZE, SIZE, device=device), torch.randint(1000, (batch,), device=device)
    for weight in net.parameters():
        weight.grad = torch.zeros_like(weight)

    def both() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            logits = run(images, subnet)
        F.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()  # type: ignore[no-untyped-call]

    def gradients(work: Callable[[], object]) -> list[torch.Tensor]:
        for weight in net.parameters():
            assert weight.grad is not None
            weight.grad.zero_()
        work()
        return [weight.grad.clone() for weight in net.parameters() if weight.grad is not None]

    found: dict[str, Any] = {"precision": precision, "layout": layout, "kernels": "ours" if ours else "others"}
    with kernels_of(ours):
        found["first_s"] = round(milliseconds(both, device) / 1e3, 2)
        expected = gradients(both)
        found["launched_ms"] = milliseconds(both, device)
        if device.type != "cuda":
            yield found
            return
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            both()
    replayed = gradients(graph.replay)
    away = [float((a - b).norm() / b.norm()) for a, b in zip(replayed, expected, strict=True) if b.norm() > 0]
    found["worst_gradient"] = max(away)
    found["graph_ms"] = milliseconds(lambda: [graph.replay() for _ in range(10)], device) / 10
    yield found
    with torch.profiler.profile() as profile:
        graph.replay()
        torch.cuda.synchronize(device)
    kernels = [(e.self_device_time_total, e.count, e.key) for e in profile.key_averages() if e.self_device_time_total]
    yield from ({"us": us, "launches": n, "kernel": key[:100]} for us, n, key in sorted(kernels, reverse=True)[:MOST])


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """By the clock on the wall, from an idle device to an idle one."""
    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
    wait()
    began = time.perf_counter()
    work()
    wait()
    return (time.perf_counter() - began) * 1e3


def depthwise_us(
    device: torch.device, batch: int, shape: tuple[int, int, int, int], bandwidth: float
) -> dict[str, Any]:
    """Our kernels on one shape in bf16, ten of each in a graph."""
    from ofa.networks.gpu import depthwise

    channels, side, kernel_size, stride = shape
    x = torch.randn(batch, channels, side, side, device=device, dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, 1, kernel_size, kernel_size, device=device, dtype=torch.bfloat16)
    out = depthwise.depthwise(x, weight, stride)
    parts: dict[str, Callable[[], object]] = {
        "forward_us": lambda: depthwise._forward(x, weight, stride, None),
        "image_us": lambda: depthwise._image_gradient(out, x, weight, stride),
        "weight_us": lambda: depthwise._weight_gradient(out, x, weight, stride),
    }
    found: dict[str, Any] = {"shape": shape, "once_us": round((x.nbytes + out.nbytes) / bandwidth / 1e6, 1)}
    for name, part in parts.items():
        part()  # compiled
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(10):
                part()
        graph.replay()
        found[name] = round(milliseconds(graph.replay, device) * 100, 1)
    return found


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
