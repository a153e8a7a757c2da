"""The phone agent, built for this machine, beside the CPU agent on the same .tflite models; and what it costs a model.

python benchmarks/latency/agent_agreement.py
python benchmarks/latency/agent_agreement.py --blocks 60 --rounds 9 --resolution 224
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.android import bundle
from ofa.blocks import all_blocks
from ofa.space import get_space
from profilers.devices.local_cpu import AGENT as CPU_AGENT
from profilers.measuring.conversation import local_agent
from profilers.measuring.events import Error, Result
from profilers.measuring.models import write_models
from profilers.measuring.pace import CPU_RULES as RULES
from profilers.measuring.plan import make_plan
from profilers.measuring.statistics import visit_median_ns

Run = Callable[[Sequence[str], dict[str, Any]], tuple[list[dict[str, Any]], float]]
# blocks an agent is given at a time: the agents take turns
TURN = 10
# warmed up and run once: what is left is what an agent costs
BARE = {**RULES, "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 1, "max_runs": 1, "min_sample_us": 0}


def runner(command: Sequence[str], folder: Path, files: dict[str, str]) -> Run:
    """A function (ids, rules) -> (result lines, seconds from the agent's start to its end)."""

    def run(names: Sequence[str], rules: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
        manifest = {
            "protocol": 1,
            "runtime": "tflite",
            "threads": 1,
            "cpus": [max(os.sched_getaffinity(0))],
            "seed": 0,
            "rules": rules,
            "models": [{"id": name, "path": files[name]} for name in sorted(set(names))],
            "visits": list(names),
        }
        started = time.perf_counter()
        events = list(local_agent(command, folder, manifest, timeout_s=600))
        wall = time.perf_counter() - started
        results = [event.record() for event in events if isinstance(event, Result)]
        if len(results) != len(names):
            raise SystemExit(f"{command[0]}: {[event for event in events if isinstance(event, Error)][:1]}")
        return results, wall

    return run


def agreement(agents: dict[str, Run], names: Sequence[str], rounds: int) -> None:
    """Prints how far the agents' medians lie apart, and beside it how far one agent's lie apart from themselves."""
    medians = {agent: np.zeros((rounds, len(names))) for agent in agents}
    for turn in range(rounds):
        for start in range(0, len(names), TURN):
            # who begins changes, so that no drift falls on one of them
            for agent in list(agents) if turn % 2 == 0 else list(agents)[::-1]:
                results, _ = agents[agent](names[start : start + TURN], RULES)
                medians[agent][turn, start : start + TURN] = [visit_median_ns(result) for result in results]
    cpu, phone = (np.median(medians[agent], axis=0) for agent in agents)
    show("phone agent / CPU agent", phone / cpu)
    for agent, values in medians.items():
        show(
            f"{agent} agent, odd rounds / even rounds", np.median(values[1::2], axis=0) / np.median(values[::2], axis=0)
        )


def show(what: str, ratios: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    off = np.abs(ratios - 1)
    low, high = np.percentile(ratios, [10, 90])
    print(
        f"{what}: median {np.median(ratios):.4f}, 10th to 90th percentile {low:.4f} to {high:.4f}, "
        f"within 2 %: {np.mean(off < 0.02):.0%}, within 5 %: {np.mean(off < 0.05):.0%}",
        flush=True,
    )


def overhead(agents: dict[str, Run], names: Sequence[str], rounds: int) -> None:
    """Prints what a model costs beyond being loaded and run: all in one process, and a process a model."""
    together, apart, load = [], [], []
    phone = agents["phone"]
    for _ in range(rounds):
        once = unaccounted(*phone(names[:1], BARE))
        # the start of the process is taken off: it is paid once
        together.append((unaccounted(*phone(names, BARE)) - once) / (len(names) - 1))
        few = names[:: max(1, len(names) // 20)]
        apart.append(sum(unaccounted(*phone([name], BARE)) for name in few) / len(few))
        load.append(sum(r["setup_ns"] for r in phone(names, BARE)[0]) / len(names) / 1e9)
    # other work on the machine only adds: the least of the rounds
    one, each = min(together), min(apart)
    print(f"loading a model, by the runtime: {min(load) * 1e3:.3f} ms")
    print(f"phone agent's own, a model: {one * 1e3:.3f} ms in one process, {each * 1e3:.2f} ms a process each", end="")
    print(f": {each / one:.0f}x")


def unaccounted(results: list[dict[str, Any]], wall: float) -> float:
    """Seconds that were neither loading nor running models."""
    return wall - sum(r["setup_ns"] + r["warmup_ns"] + r["timed_ns"] for r in results) / 1e9


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--resolution", type=int, default=160)
    args = parser.parse_args(argv)
    made = bundle.make(os.uname().machine, tell=print)
    blocks = all_blocks(get_space("mbv3-w1.0"), [args.resolution])
    chosen = blocks[:: max(1, len(blocks) // args.blocks)][: args.blocks]
    plan = make_plan([(block,) for block in chosen], rounds=1, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_models(plan.models, "tflite", folder, batch=1)
        agents = {
            "cpu": runner([sys.executable, str(CPU_AGENT)], folder, files),
            "phone": runner(["env", "-C", str(made.folder), *made.start_command], folder, files),
        }
        print(f"{len(files)} blocks at {args.resolution} px, {args.rounds} rounds, taking turns")
        agreement(agents, list(files), args.rounds)
        overhead(agents, list(files), args.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
