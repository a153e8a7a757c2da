"""How fast supernets train, run, calibrate and are cut, beside the original implementation in the same run.

    python benchmarks/training/supernet_speed.py                     # ours alone
    python benchmarks/training/supernet_speed.py --reference FOLDER  # which holds the package `ofa` of PyPI, unpacked:
        pip download --no-deps ofa==0.1.0.post202307202001 && python -m zipfile -e ofa-*.whl FOLDER
    python benchmarks/training/supernet_speed.py --reference FOLDER --only "shrinking step" --threads 2

Both run the same sub-networks, taking turns, each in a process of its own (the packages share a name). A training step
has one sub-network and no teacher; a shrinking step has four and is distilled from the largest network, as both train.
With --only a step, ours keeps the memory that it frees, as `ofa.train` does.
Times of one thread are of its CPU, steadier than the wall clock on a busy machine; of several threads, of the wall
clock: let nothing else run then. Each line gives minimum and median.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, EVAL_BATCH, SIZE = 16, 64, 128
STEPS = ("training step", "shrinking step")
GROUPS = (
    ("training step",),
    ("shrinking step",),
    ("evaluate in the supernet", "evaluate extracted"),
    ("extract",),
    ("calibrate",),
)


def best(
    functions: list[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.thread_time
) -> list[list[float]]:
    """(functions, repeats) milliseconds, taking turns, after one run each that is not counted."""
    times: list[list[float]] = [[] for _ in functions]
    for run in functions:
        run()
    for _ in range(repeats):
        for row, run in zip(times, functions, strict=True):
            start = clock()
            run()
            row.append((clock() - start) * 1e3)
    return times


def four(config: dict[str, list[int]]) -> list[dict[str, list[int]]]:
    """The sub-networks of a shrinking step: the given one's choices, turned round by 0 to 3 layers and units."""
    return [{key: values[n:] + values[:n] for key, values in config.items()} for n in range(4)]


def ours(config: dict[str, Any], calibration_images: int) -> dict[str, Callable[[], object]]:
    """What is timed of this project, by name."""
    import torch

    from ofa.networks import Supernet, build_supernet, calibrate_bn, extract
    from ofa.space import Subnet, get_space
    from ofa.space.mit_format import subnet_from_mit
    from ofa.training.draws import Draws
    from ofa.training.precision import Precision
    from ofa.training.recipe import Stage
    from ofa.training.schedule import nesterov_sgd
    from ofa.training.step import SupernetStep, supernet_run

    class Chosen(Draws):
        def subnets(self, _: int) -> list[Subnet]:
            return [subnet_from_mit(space, chosen, SIZE) for chosen in four(config)[: self.stage.subnets]]

    space = get_space("mbv3-w1.0")
    trained, net = build_supernet(space), build_supernet(space).eval()
    subnet = subnet_from_mit(space, config, SIZE)
    plain = extract(net, subnet)
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(1000, (BATCH,))
    many = torch.randn(EVAL_BATCH, 3, SIZE, SIZE)
    optimizer = nesterov_sgd(trained, 0.0)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    batches = [torch.randn(100, 3, SIZE, SIZE) for _ in range(calibration_images // 100)]
    precision = Precision("fp32", images.device)

    def step(stage: Stage, label_smoothing: float, teacher: Supernet | None = None) -> Callable[[], object]:
        draws = Chosen(space, stage, (SIZE,), 0)
        gradients = SupernetStep(supernet_run(trained), stage, draws, precision, teacher, label_smoothing)

        def run() -> None:
            optimizer.zero_grad()
            gradients(images, labels, 0)
            optimizer.step()

        return run

    def evaluate() -> None:
        with torch.no_grad():
            net(many, subnet)

    def evaluate_extracted() -> None:
        with torch.no_grad():
            plain(many.contiguous(memory_format=torch.channels_last))

    return {
        "training step": step(Stage("largest", 1, 1e-3), 0.0),
        "shrinking step": step(Stage("last", 1, 1e-3, subnets=4, distill=1.0), 0.1, build_supernet(space, 0.0)),
        "evaluate in the supernet": evaluate,
        "evaluate extracted": evaluate_extracted,
        "extract": lambda: extract(net, subnet),
        "calibrate": lambda: calibrate_bn(net, subnet, batches),
    }


def theirs(config: dict[str, Any], calibration_images: int) -> dict[str, Callable[[], object]]:
    """The same of the original implementation, whose package must come first on sys.path."""
    import torch

    # torchvision's import needs these operators, which a CPU-only torch does not have
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3  # type: ignore[import-not-found]
    from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics  # type: ignore[import-not-found]

    choices = {"ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
    trained, net = OFAMobileNetV3(1000, **choices), OFAMobileNetV3(1000, **choices).eval()
    trained.set_active_subnet(**config)
    net.set_active_subnet(**config)
    plain = net.get_active_subnet().eval()
    images, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(1000, (BATCH,))
    many = torch.randn(EVAL_BATCH, 3, SIZE, SIZE)
    optimizer = torch.optim.SGD(trained.parameters(), 1e-3, momentum=0.9, nesterov=True)
    batches = [(torch.randn(100, 3, SIZE, SIZE), None) for _ in range(calibration_images // 100)]
    teacher = OFAMobileNetV3(1000, dropout_rate=0.0, **choices)
    teacher.set_active_subnet(ks=7, e=6, d=4)
    cross_entropy = torch.nn.functional.cross_entropy

    def train() -> None:
        optimizer.zero_grad()
        cross_entropy(trained(images), labels).backward()
        optimizer.step()

    def shrink() -> None:
        with torch.no_grad():
            soft = teacher(images).softmax(1)
        optimizer.zero_grad()
        for chosen in four(config):
            trained.set_active_subnet(**chosen)
            logits = trained(images)
            (cross_entropy(logits, soft) + cross_entropy(logits, labels, label_smoothing=0.1)).backward()
        optimizer.step()
        trained.set_active_subnet(**config)

    def evaluate() -> None:
        with torch.no_grad():
            net(many)

    def evaluate_extracted() -> None:
        with torch.no_grad():
            plain(many)

    return {
        "training step": train,
        "shrinking step": shrink,
        "evaluate in the supernet": evaluate,
        "evaluate extracted": evaluate_extracted,
        "extract": net.get_active_subnet,
        "calibrate": lambda: set_running_statistics(net, batches),
        "library kept": lambda: library,
    }


def keep_memory_as_trainings_do() -> None:
    from ofa.runs.system import keep_memory

    keep_memory()


def worker(
    side: str, config: dict[str, Any], calibration_images: int, repeats: int, threads: int, trains: bool
) -> None:
    """Answers each name on stdin with its times as JSON."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if side == "ours" and trains:
        keep_memory_as_trainings_do()
    clock = time.thread_time if threads == 1 else time.perf_counter
    functions = (ours if side == "ours" else theirs)(config, calibration_images)
    for line in sys.stdin:
        asked = line.strip().split("+")
        times = best([functions[name] for name in asked], 1 if asked == ["calibrate"] else repeats, clock)
        print(json.dumps(times), flush=True)


def memory_of_many(count: int) -> None:
    """Peak memory before and after evaluating many different sub-networks in turn."""
    import numpy as np
    import torch

    from ofa.networks import build_supernet
    from ofa.space import get_space

    torch.set_num_threads(1)
    space = get_space("mbv3-w1.0")
    net = build_supernet(space).eval()
    subnets = space.decode(space.sample(np.random.default_rng(0), count, resolutions=[SIZE]))
    largest = space.decode(space.as_genes(np.array([[SIZE, *(space.cardinalities[1:] - 1)]])))[0]
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        net(torch.randn(1, 3, largest.resolution, largest.resolution), largest)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for subnet in subnets:
            net(images, subnet)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"memory: peak grew by {grown / 1024:.1f} MiB over {count} sub-networks in turn (peak {before / 1024:.0f} MiB)"
    )


def start(side: str, folder: Path | None, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    path = "" if folder is None else f"import sys; sys.path.insert(0, {str(folder.resolve())!r}); "
    here = str(Path(__file__).resolve())
    code = f"{path}import runpy; runpy.run_path({here!r})['worker']({side!r}, {arguments.config!r}, "
    code += f"{arguments.images}, {arguments.repeats}, {arguments.threads}, {arguments.only in STEPS})"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: subprocess.Popen[str], name: str) -> list[list[float]]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(name + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a worker died: see its message above")
    times: list[list[float]] = json.loads(line)
    return times


def main(argv: list[str] | None = None) -> int:
    """Prints one line a measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reference", type=Path, help="folder of the original implementation's package")
    parser.add_argument("--rounds", type=int, default=3, help="turns that the two take")
    parser.add_argument("--repeats", type=int, default=5, help="runs a turn")
    parser.add_argument("--images", type=int, default=400, help="to calibrate with, in batches of 100 (paper: 2,000)")
    parser.add_argument("--threads", type=int, default=1, help="of each; more than 1 are timed by the wall clock")
    parser.add_argument("--only", choices=[group[0] for group in GROUPS], help="this measurement and no other")
    arguments = parser.parse_args(argv)
    arguments.config = {
        "ks": [5, 5, 3, 5, 7, 5, 5, 5, 5, 5, 7, 3, 7, 3, 5, 3, 3, 7, 5, 7],
        "e": [6, 6, 3, 4, 3, 6, 3, 6, 4, 4, 6, 3, 4, 4, 4, 6, 6, 3, 6, 4],
        "d": [3, 4, 3, 2, 4],
    }
    workers = {"ours": start("ours", None, arguments)}
    if arguments.reference:
        workers["theirs"] = start("theirs", arguments.reference, arguments)
    asked = [group for group in GROUPS if arguments.only in (None, group[0])]
    names = [name for group in asked for name in group]
    times: dict[tuple[str, str], list[float]] = {(side, name): [] for side in workers for name in names}
    for _ in range(arguments.rounds):
        for group in asked:
            for side, process in workers.items():
                for name, row in zip(group, ask(process, "+".join(group)), strict=True):
                    times[side, name] += row
    for process in workers.values():
        process.communicate()
    print(
        f"MobileNetV3 w1.0, training batch {BATCH}, evaluation {EVAL_BATCH}, at {SIZE} px; "
        f"threads: {arguments.threads}; ms: minimum, median"
    )
    for name in names:
        cells = [f"{side} {min(t):8.1f} {statistics.median(t):8.1f}" for side in workers if (t := times[side, name])]
        if "theirs" in workers:
            mine, other = times["ours", name], times["theirs", name]
            ratios = min(mine) / min(other), statistics.median(mine) / statistics.median(other)
            cells.append("ratio {:.2f} {:.2f}".format(*ratios))
        print(f"{name:26}", *cells, sep="  ")
    if arguments.only:
        return 0
    inside, outside = times["ours", "evaluate in the supernet"], times["ours", "evaluate extracted"]
    medians = statistics.median(inside) / statistics.median(outside)
    print(f"supernet against extracted: {min(inside) / min(outside):.3f} of the minima, {medians:.3f} of the medians")
    memory_of_many(100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
