"""How many images a second a supernet learns from on a GPU, beside the original implementation in the same run.

    python benchmarks/training/gpu_steps.py --reference FOLDER --out steps.jsonl
    python benchmarks/training/gpu_steps.py --device cpu --batches 2,4 --out dry.jsonl      # a dry run, marked as one

FOLDER has the package of the original (benchmarks/README.md). Cases take turns, best value first; each is a line of
JSON in --out as soon as it is known. Ours is a step of `ofa.train` from bytes on the device, augmented there; theirs
has images that lie ready on the device. A training step has one sub-network, a shrinking step four and a teacher.
Precisions: fp32 is IEEE fp32, as `ofa.train --precision fp32`; tf32 is what PyTorch does by default, and so the
original; bf16 is ours alone, and our default. `graphs`: with CUDA graphs, which is our default, or without.

`ms` is the time of a step, from one synchronisation to another over many steps; `event_ms` the same by CUDA events;
`queued_ms` how long the host took to queue a step: where it is as long, launching is what takes the time.
"""

from __future__ import annotations

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZE, SIDE = 128, 160  # pixels of a step's images, and of those in memory
CONFIG: dict[str, list[int]] = {
    "ks": [5, 5, 3, 5, 7, 5, 5, 5, 5, 5, 7, 3, 7, 3, 5, 3, 3, 7, 5, 7],
    "e": [6, 6, 3, 4, 3, 6, 3, 6, 4, 4, 6, 3, 4, 4, 4, 6, 6, 3, 6, 4],
    "d": [3, 4, 3, 2, 4],
}
KINDS = ("training", "shrinking")
WAYS = (  # whose step, in which precision, with CUDA graphs or not
    ("theirs", "tf32", False),
    ("ours", "bf16", True),
    ("ours", "bf16", False),
    ("ours", "tf32", True),
    ("ours", "tf32", False),
    ("ours", "fp32", True),
    ("ours", "fp32", False),
    ("theirs", "fp32", False),
)
WARM = 4  # steps before the timed ones
Timed = dict[str, float]


def timed(step: Callable[[], object], device: Any, seconds: float) -> Timed:
    """Of one step, over as many as fit into the time, at least two."""
    import torch

    gpu = device.type == "cuda"

    def wait() -> float:
        if gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter()

    for _ in range(WARM if gpu else 1):
        step()
    began = wait()
    step()
    count = max(2, min(50, int(seconds / (wait() - began))))
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if gpu else []
    began = wait()
    if gpu:
        events[0].record()
    for _ in range(count):
        step()
    if gpu:
        events[1].record()
    queued, ended = time.perf_counter(), wait()
    found = {"steps": count, "ms": (ended - began) / count * 1e3, "queued_ms": (queued - began) / count * 1e3}
    if gpu:
        found["event_ms"] = events[0].elapsed_time(events[1]) / count
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found


def ours(
    device: Any,
    kind: str,
    precision: str,
    graphs: bool,
    batch: int,
    folder: Path,
    *,
    size: int = SIZE,
    drawn: str = "",
    recorder: Any = None,
) -> Callable[[], object]:
    """A step of `ofa.train`: crops, gradients, update.

    drawn: a space whose sub-networks are drawn anew in every step; else they are those of CONFIG in mbv3-w1.0
    recorder: of graphs, in the GPU's place
    """
    import numpy as np
    import torch

    from ofa.images.pixels.crops import cut, draw_crops, moved, normalised
    from ofa.images.preprocessing import IMAGENET
    from ofa.networks import build_supernet
    from ofa.networks.elastic import run_elastic
    from ofa.networks.gpu.recording import Cuda
    from ofa.networks.layers import use_memory_format
    from ofa.runs.processes import Processes
    from ofa.space import Subnet, get_space
    from ofa.space.mit_format import subnet_from_mit
    from ofa.training.draws import Draws
    from ofa.training.graphs.slots import SlotGraphs
    from ofa.training.loop import Training
    from ofa.training.precision import Precision, chosen_layout
    from ofa.training.recipe import Stage
    from ofa.training.schedule import Plan
    from ofa.training.step import SupernetStep, supernet_run

    count = 4 if kind == "shrinking" else 1
    four = runpy.run_path(str(Path(__file__).with_name("supernet_speed.py")))["four"]
    space = get_space(drawn or "mbv3-w1.0")

    class Chosen(Draws):
        def subnets(self, _: int) -> list[Subnet]:
            return [subnet_from_mit(space, chosen, size) for chosen in four(CONFIG)[:count]]

    net, teacher = build_supernet(space), build_supernet(space, 0.0).requires_grad_(False)
    for network in (net, teacher):
        use_memory_format(network, chosen_layout("auto", device))
    stage = Stage("last", 1, 1e-3, subnets=count, distill=1.0 if count > 1 else 0.0)
    how, procs = Precision("fp32" if precision == "tf32" else precision, device), Processes(0, 1, device)
    training = Training(net, Plan(1, 10**6, 1e-3), folder, {}, procs, precision=how)
    draws = (Draws if drawn else Chosen)(space, stage, (size,), 0)
    recorder = recorder or (Cuda(device) if graphs else None)
    run, taught = (SlotGraphs(of, recorder, size, _refuse) if recorder else run_elastic for of in (net, teacher))
    given = teacher.to(device) if count > 1 else None
    step = SupernetStep(supernet_run(net, None, run), stage, draws, how, given, run_teacher=taught)
    images = 4 * batch
    pixels = torch.randint(256, (images, 3, SIDE, SIDE), dtype=torch.uint8).to(device)
    labels = torch.randint(1000, (images,))

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = np.random.default_rng(0)
        while True:
            rows = torch.from_numpy(rng.integers(0, images, batch))
            crops = draw_crops(rng, np.full((batch, 2), float(SIDE)), 0.08)
            yield normalised(cut(pixels[moved(rows, device)], crops, size), *IMAGENET), labels[rows]

    supply = batches()
    return lambda: training._one_step(*next(supply), step, _Never())


def _refuse(text: str) -> None:
    """A step that is partly without graphs would be taken for one with them."""
    raise RuntimeError(text)


class _Never:
    """No signal comes."""

    def is_set(self) -> bool:
        return False


def theirs(device: Any, kind: str, batch: int) -> Callable[[], object]:
    """A step of the original, whose package must come first on sys.path; its images lie on the device."""
    import torch
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3  # type: ignore[import-not-found]

    choices = {"ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
    net = OFAMobileNetV3(1000, **choices).to(device)
    teacher = OFAMobileNetV3(1000, dropout_rate=0.0, **choices).to(device)
    teacher.set_active_subnet(ks=7, e=6, d=4)
    images, labels = torch.randn(batch, 3, SIZE, SIZE, device=device), torch.randint(1000, (batch,), device=device)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, nesterov=True)
    cross_entropy = torch.nn.functional.cross_entropy
    four = runpy.run_path(str(Path(__file__).with_name("supernet_speed.py")))["four"]
    configs = four(CONFIG)

    def step() -> None:
        optimizer.zero_grad()
        if kind == "training":
            net.set_active_subnet(**configs[0])
            cross_entropy(net(images), labels, label_smoothing=0.1).backward()
        else:
            with torch.no_grad():
                soft = teacher(images).softmax(1)
            for chosen in configs:
                net.set_active_subnet(**chosen)
                logits = net(images)
                (cross_entropy(logits, soft) + cross_entropy(logits, labels, label_smoothing=0.1)).backward()
        optimizer.step()

    return step


def worker(side: str, name: str, seconds: float) -> None:
    """Answers each case on stdin with its times, or with what went wrong, as JSON."""
    import torch

    torch.manual_seed(0)
    device = torch.device(name)
    library = torch.library.Library("torchvision", "FRAGMENT")
    if side == "theirs" and device.type == "cpu":  # torchvision's import needs what a CPU-only torch does not have
        for schema in ("nms", "qnms"):
            library.define(f"{schema}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for line in sys.stdin:
        kind, precision, graphs, batch = json.loads(line)
        tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = tf32  # PyTorch's default for convolutions; of matrices, it is off
        torch.backends.cuda.matmul.allow_tf32 = False
        if device.type == "cuda":
            torch.cuda.init()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        try:
            with tempfile.TemporaryDirectory() as folder:
                mine = side == "ours"
                if mine:
                    step = ours(device, kind, precision, graphs, batch, Path(folder))
                else:
                    step = theirs(device, kind, batch)
                found: dict[str, Any] = dict(timed(step, device, seconds))
            found["images_per_s"] = batch / found["ms"] * 1e3
        except RuntimeError as error:  # out of memory, say: the other cases still count
            found = {"error": str(error).splitlines()[0]}
        print(json.dumps(found), flush=True)


def start(side: str, folder: Path | None, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2] if folder is None else folder.resolve()
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import runpy; run = runpy.run_path"
    code += f"({str(Path(__file__).resolve())!r}); run['worker']({side!r}, {arguments.device!r}, {arguments.each})"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: subprocess.Popen[str], case: list[Any]) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a worker died: see its message above")
    found: dict[str, Any] = json.loads(line)
    return found


def main(argv: list[str] | None = None) -> int:
    """Writes one line a case, and prints it with the ratio to the original's default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--reference", type=Path, help="folder of the original implementation's package")
    parser.add_argument("--batches", default="256,64,512", help="images a step, best value first")
    parser.add_argument("--each", type=float, default=1.0, help="seconds of timed steps a case, about")
    parser.add_argument("--seconds", type=float, default=240, help="begins no case after so long")
    parser.add_argument("--out", type=Path, required=True, help="file of results, a JSON object a line")
    arguments = parser.parse_args(argv)
    began, dry = time.monotonic(), arguments.device.startswith("cpu")
    workers = {"ours": start("ours", None, arguments)}
    if arguments.reference:
        workers["theirs"] = start("theirs", arguments.reference, arguments)
    left_out = 0
    with arguments.out.open("w", encoding="utf-8") as out:
        for batch in map(int, arguments.batches.split(",")):
            for kind in KINDS:
                default: float | None = None
                for side, precision, graphs in WAYS:
                    if side not in workers or (dry and (precision != "fp32" or graphs)):
                        continue
                    if time.monotonic() - began > arguments.seconds:
                        left_out += 1
                        continue
                    case = {"kind": kind, "side": side, "precision": precision, "graphs": graphs, "batch": batch}
                    found = (
                        case | ask(workers[side], [kind, precision, graphs, batch]) | ({"dry_run": True} if dry else {})
                    )
                    print(json.dumps(found), file=out, flush=True)
                    default = found.get("ms") if (side, precision) == ("theirs", "tf32") else default
                    _tell(found, default)
    for process in workers.values():
        process.communicate()
    if dry:
        print("dry run: the CPU stands in a GPU's place, and no figure means anything")
    if left_out:
        print(f"left out for lack of time: {left_out} cases")
    return 0


def _tell(found: dict[str, Any], default: float | None) -> None:
    way = "graphs" if found["graphs"] else ""
    words = f"{found['kind']:9} batch {found['batch']:4} {found['side']:6} {found['precision']} {way:6}: "
    if "error" in found:
        print(words + found["error"], flush=True)
        return
    words += f"{found['ms']:8.1f} ms a step, queued in {found['queued_ms']:.1f}; {found['images_per_s']:8.0f} images/s"
    beside = f"; {found['ms'] / default:.2f} of the original's default" if default and found["side"] == "ours" else ""
    print(words + beside, flush=True)


if __name__ == "__main__":
    sys.exit(main())
