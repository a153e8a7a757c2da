"""What the lab costs beside the commands that it runs: 20 made-up devices on three Ray nodes of this machine.

A job is a process that sleeps as a profiler waits for its device, and says how long it lived. The overhead is what a
device spends besides: until its first job begins, between jobs, and until the last files are back. It is told as a
share of the time that visits take, which is less than the processes live. How long visits and jobs take is drawn.

usage: python benchmarks/latency/lab_overhead.py [--devices 20] [--hosts 3] [--jobs 2] [--seconds 40] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

from profilers.lab.cluster import RayHosts, connected  # noqa: E402
from profilers.lab.head import LabHead  # noqa: E402
from profilers.lab.host.actor import start_actor  # noqa: E402
from tests.helpers.labs import job, phone, run_of  # noqa: E402

VISIT_MS = (150.0, 350.0)
# of --seconds: how long a job takes
LENGTH = (0.8, 1.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80 << 20, "include_dashboard": False}
    began = time.monotonic()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **store})
    nodes = [cluster.head_node, *(cluster.add_node(num_cpus=1, **store) for _ in range(asked.hosts - 1))]
    with tempfile.TemporaryDirectory() as folder, connected(cluster.address):
        measure(asked, nodes, Path(folder), began)
    cluster.shutdown()
    return 0


def measure(asked: argparse.Namespace, nodes: list, folder: Path, began: float) -> None:
    """Runs all jobs, and prints a device's time beside that of its jobs."""
    hosts, held = RayHosts(LabHead({})), []
    names = [f"d{n:02}" for n in range(asked.devices)]
    for n, node in enumerate(nodes):
        devices = [phone(name) for name in names[n :: len(nodes)]]
        held.append(start_actor(f"h{n}", node.node_id, folder / f"h{n}", 1, devices))
    while len(hosts.look()) < len(nodes):
        time.sleep(0.1)
    print(f"{len(nodes)} nodes after {time.monotonic() - began:.1f} s")
    rng = random.Random(asked.seed)
    jobs, slept = [], dict.fromkeys(names, 0.0)
    for name in names:
        for n in range(asked.jobs):
            visit_ms = round(rng.uniform(*VISIT_MS), 3)
            visits = round(asked.seconds * 1000 * rng.uniform(*LENGTH) / visit_ms)
            slept[name] += visits * visit_ms / 1000
            jobs.append(replace(job(f"phone-{name}", seed=n, visits=visits, visit_ms=visit_ms), entry=f"job{n}"))
    run = run_of(hosts, folder / "out", jobs, lambda _: None)
    ended: dict[str, float] = {}
    run.show = lambda tasks: ended.update(
        {task.job.name: time.monotonic() for task in tasks if task.is_over and task.job.name not in ended}
    )
    start = time.monotonic()
    cpu = time.process_time()
    run.to_the_end()
    cpu = time.process_time() - cpu
    run.journal.close()
    for task in run.tasks:
        ended.setdefault(task.job.name, time.monotonic())
    assert all(task.state == "done" for task in run.tasks)
    shares, besides, lived = [], [], 0.0
    for name in names:
        own = [task for task in run.tasks if task.job.device == f"phone-{name}"]
        alive = sum(float(re.findall(r"lived ([\d.]+) s", (task.folder / "log.txt").read_text())[-1]) for task in own)
        lived += alive
        besides.append(max(ended[task.job.name] for task in own) - start - alive)
        shares.append(100 * besides[-1] / slept[name])
    shares.sort()
    measured = sum(slept.values())
    print(f"{len(jobs)} jobs of about {asked.seconds:g} s on {len(names)} devices: {time.monotonic() - start:.1f} s")
    print(
        f"besides its commands a device spent {sum(besides) / len(jobs):.2f} s a job, "
        f"{100 * sum(besides) / measured:.2f} % of its visits' time (from {shares[0]:.2f} to {shares[-1]:.2f})"
    )
    print(f"commands lived {100 * (lived / measured - 1):.2f} % longer than their visits took")
    print(f"the run itself kept a CPU busy for {100 * cpu / measured:.2f} % of the visits' time")


if __name__ == "__main__":
    sys.exit(main())
