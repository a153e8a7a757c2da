"""What the host does in a training step whose blocks are replayed as CUDA graphs, counted without a GPU.

    python benchmarks/training/host_steps.py --out host.jsonl

A step of `ofa.train` (bf16; one sub-network, then four and a teacher, drawn anew in every step) runs on the CPU, with a
recorder whose replays do nothing. The network is mbv3's smallest, at 64 px with two images: as many slots and weights
as any mbv3 has, and nearly nothing to compute. So what is left is what the host does besides launching graphs:

`operators`: aten operators of a step outside of replays that compute or copy, views left out: each is a launch or more
`replays`: graphs of a step
`processor_us`: processor time of a step, median; `adds`: the same by that of `torch.add` on one number, timed in turns:
    this figure is comparable between runs, as far as anything is on a busy machine

One JSON object a line; the operators that come most often are printed by name.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SPACE, SIZE, BATCH = "mbv3-w0.1", 64, 2
ADDS = 500  # between two steps
MOST = 20  # names printed
LIGHT = ("lift_fresh", "empty", "empty_like", "promote_types", "_unsafe_view", "_local_scalar_dense")  # no launches


class Idle:
    """Does the work that it is given to record, and nothing when that is replayed."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def pool(self) -> None: ...

    def record(self, work: Callable[[], object], _: None) -> Callable[[], object]:
        self.recorded += 1
        work()
        return self._replay

    def _replay(self) -> None:
        self.replayed += 1

    def has_room(self) -> bool:
        return True

    def settle(self) -> None: ...


class Counted(TorchDispatchMode):
    """Counts operators by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func._schema.name.partition("::")
        if space == "aten" and not func.is_view and name not in LIGHT:
            self.of[name] += 1
        return func(*args, **(kwargs or {}))


def measured(kind: str, warm: int, steps: int) -> tuple[dict[str, Any], Counter[str]]:
    """Figures of a step, and operators of all counted steps."""
    bench, recorder = runpy.run_path(str(Path(__file__).with_name("gpu_steps.py"))), Idle()
    number = torch.ones(1)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(torch, "empty", torch.zeros):
        # zeros, since no replay writes what the next block reads
        step = bench["ours"](
            torch.device("cpu"), kind, "bf16", True, BATCH, Path(folder), size=SIZE, drawn=SPACE, recorder=recorder
        )
        for _ in range(warm):
            step()
        before = recorder.recorded
        recorder.replayed = 0
        with Counted() as counted:
            for _ in range(steps):
                step()
        found: dict[str, Any] = {"kind": kind, "steps": steps, "recorded": recorder.recorded - before}
        found["operators"] = round(sum(counted.of.values()) / steps, 1)
        found["replays"] = round(recorder.replayed / steps, 1)
        times, units = [], []
        for _ in range(steps):
            began = time.process_time_ns()
            step()
            between = time.process_time_ns()
            for _ in range(ADDS):
                torch.add(number, number)
            times.append(between - began)
            units.append((time.process_time_ns() - between) / ADDS)
    found["processor_us"] = round(statistics.median(times) / 1e3)
    found["adds"] = round(statistics.median(times) / statistics.median(units))
    return found, counted.of


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--warm", type=int, default=250, help="steps before them, in which blocks are recorded")
    parser.add_argument("--steps", type=int, default=100, help="steps that are counted, and then timed")
    parser.add_argument("--out", type=Path, required=True, help="file of results, a JSON object a line")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with args.out.open("w", encoding="utf-8") as out:
        for kind in ("training", "shrinking"):
            found, names = measured(kind, args.warm, args.steps)
            line = json.dumps(found | {"names": {name: round(n / args.steps, 1) for name, n in names.most_common()}})
            print(line, file=out, flush=True)
            print(json.dumps(found))
            print("  " + ", ".join(f"{name} {n / args.steps:.1f}" for name, n in names.most_common(MOST)), flush=True)
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
