"""Networks in parts that do not fit the memory that the agent may have, with the real agent and runtime."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block
from ofa.runs.journal import Journal
from profilers.devices.local_cpu import AGENT, cpu_target
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import Event
from profilers.measuring.models import write_parts
from profilers.measuring.plan import CutChain, Piece, make_plan
from profilers.measuring.run import measure_on

# 34 MB of weights, which the runtime packs once more
BIG = Block("conv", 1, 2900, 0, 2900, 1, 1, "relu", False, False)
SMALL = Block("conv", 1, 2900, 0, 8, 1, 1, "relu", False, False)
PARTS = 8
PLAN = make_plan([(BIG,), (SMALL,)], 1, 0, cut_chains=[CutChain((*[BIG] * (PARTS - 1), SMALL), tuple(range(PARTS)))])
RULES = {
    "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 3, "max_runs": 3, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 0,
}  # fmt: skip
PEAK = """
import sys
import numpy as np
from pathlib import Path
from device_agents.cpu.runtimes import RUNTIMES
parts = RUNTIMES["tflite"].load_parts([Path(path) for path in sys.argv[1:]], 1, np.random.default_rng(0))
for part in parts: part.run()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmPeak")))
"""


def peak_kib(folder: Path, parts: int) -> int:
    """Of the address space of a process that loads so many parts."""
    (file,) = write_parts(PLAN.with_pieces({"p": Piece("b00002", ((0, 1),))}), ["p"], "tflite", folder, 1)["p"]
    command = [sys.executable, "-c", PEAK, *[str(folder / file)] * parts]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=AGENT.parents[2])
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_a_network_that_does_not_fit_memory_is_cut_into_pieces_that_do(tmp_path: Path) -> None:
    one, three = peak_kib(tmp_path, 1), peak_kib(tmp_path, 3)
    # five parts and a half, and what a thread of the agent's own reserves
    limit = one + (three - one) * 9 // 4 + 72 * 1024

    def start(folder: Path, manifest: Any) -> Iterator[Event]:
        limited = ["sh", "-c", f'ulimit -v {limit} && exec "$@"', "agent", sys.executable, str(AGENT)]
        return local_agent(limited, folder, manifest, 60)

    target = replace(cpu_target("tflite", 1, 1, [max(os.sched_getaffinity(0))], 60), start=start)
    journal = Journal.create(tmp_path / "journal", {})
    outcome = measure_on(target, PLAN, RULES, 0, journal, tmp_path, lambda *_: None)
    journal.close()
    assert outcome.failed == {}
    (settled,) = outcome.settled.values()
    assert settled.faults == ()
    sizes = [len(outcome.plan.models[name]) for name in settled.pieces]
    assert sum(sizes) == PARTS
    assert min(sizes) > 1
    assert all(name in outcome.results for name in (*settled.pieces, "b00000", "b00001"))
