"""One of two processes that train together, with graphs and without; what came of it, as JSON from the first."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa.runs.processes import Processes, processes
from tests.ofa.training.graphs.fake_recorder import FakeRecorder
from tests.ofa.training.graphs.short_training import SPACES, STAGES, Run, trained

CASES = [("one", "fp32"), ("sandwich", "fp32"), ("taught", "bf16")]


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    names = one.keys() | other.keys()
    return sorted(n for n in names if n not in one or n not in other or not torch.equal(one[n], other[n]))


def compared(stage: str, precision: str, procs: Processes, folder: Path) -> dict[str, Any]:
    """Of each process: what graphs leave otherwise, how often it replayed, warned, and a weight's sum at the end."""
    space = SPACES["described"]()
    expected = trained(Run(space, STAGES[stage], None, precision, procs=procs), folder / "plain")
    # in the second process, some blocks never have a graph
    recorder = FakeRecorder(fails=lambda number: procs.rank == 1 and number % 3 == 1)
    run = Run(space, STAGES[stage], recorder, precision, procs=procs)
    found = trained(run, folder / "graphs")
    alone = trained(Run(space, STAGES[stage], None, precision), folder / f"alone{procs.rank}")
    result = {
        "differing": differing(found, expected),
        "replays": recorder.replays,
        "warnings": len(run.warnings),
        "weights": float(sum(tensor.double().sum() for name, tensor in found.items() if name.endswith("conv.weight"))),
        "as alone": differing(found, alone) == [],
    }
    return {"each": procs.gathered(result)}


def main() -> None:
    torch.set_num_threads(1)
    with processes("cpu") as procs:
        found = {f"{s} {p}": compared(s, p, procs, Path(sys.argv[1]) / f"{s}-{p}")["each"] for s, p in CASES}
        if procs.rank == 0:
            print(json.dumps(found))


if __name__ == "__main__":
    main()
