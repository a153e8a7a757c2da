"""What measuring over adb costs beside the runs themselves: the native x86-64 agent through a real adbd on loopback.

python benchmarks/latency/phone_overhead.py                # 1,000 blocks, 5 + 30 runs each; 100 MB pushed
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from device_agents.android import bundle
from device_agents.android.testphone.phone import TestPhone
from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.devices.phone import files as phone_files
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.facts import facts
from profilers.devices.phone.session import PhoneSession, Policy
from profilers.devices.sent_files import sent_folder
from profilers.measuring.drive import Driver
from profilers.measuring.events import Result
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out

RULES = {
    "warmup_runs": 5,
    "warmup_seconds": 0,
    "min_runs": 30,
    "max_runs": 30,
    "max_seconds": 60,
    "target_error": 0,
    "min_sample_us": 0,
}
RESOLUTIONS = range(128, 225, 4)


def silent(_: str) -> None:
    pass


def push_seconds(serial: str, megabytes: int, work: Path) -> tuple[float, float]:
    """Seconds to push so much in one folder, the phone's check included; and to find it there again."""
    path = work / "random"
    path.write_bytes(np.random.default_rng(0).bytes(megabytes * 1_000_000))
    wanted = sent_folder("speed", {"random": path})
    with Adb(serial) as adb:
        adb.connect()
        started = time.perf_counter()
        assert phone_files.ensure(adb, wanted, silent) > megabytes * 1_000_000
        pushed = time.perf_counter()
        assert phone_files.ensure(adb, wanted, silent) == 0
        found = time.perf_counter()
        adb.run('rm -rf "$1"', phone_files.place(wanted))
    return pushed - started, found - pushed


def run_overhead(serial: str, blocks: int, work: Path) -> list[str]:
    """Lines about one run of all blocks, and a second one of a single visit."""
    space = get_space("mbv3-w1.0")
    plan = make_plan([(block,) for block in all_blocks(space, RESOLUTIONS)[:blocks]], 1, 0, reference_every=100)
    models = work / "models"
    models.mkdir()
    started = time.perf_counter()
    files = write_models(plan.models, "tflite", models, 1)
    wrote = time.perf_counter() - started
    agent = bundle.make("x86_64")
    sent = sent_folder("agent", {name: agent.folder / name for name in agent.files})
    policy = Policy(max_temperature_c=80, cool_s=0, fixed_performance=True, awake=True)
    manifest = {"runtime": "tflite", "backend": agent.backend, "threads": 1, "seed": 0, "rules": RULES}

    def session() -> PhoneSession:
        adb = Adb(serial)
        adb.connect()
        phone = facts(adb, own_agent=False)
        manifest["cpus"] = [phone.usable[-1]]
        return PhoneSession(adb, phone, sent, agent.start_command, policy, 60, silent)

    results: list[dict] = []
    started = time.perf_counter()
    with session() as first:
        journal = Journal.create(work / "journal.jsonl", {})
        carry_out(
            Driver(Ledger(plan, journal), files, manifest, partial(first.start, models), progress=lambda *_: None)
        )
        journal.close()
    wall = time.perf_counter() - started
    results = [record for record in journal.records if record["kind"] == "result"]
    timed, warmup, setup = (sum(r[f"{part}_ns"] for r in results) / 1e9 for part in ("timed", "warmup", "setup"))
    with session() as second:
        again = {
            "protocol": 1,
            **manifest,
            "models": [{"id": name, "path": files[name]} for name in plan.models],
            "visits": [plan.reference],
        }
        assert sum(isinstance(event, Result) for event in second.start(models, again)) == 1
    return [
        f"{len(results)} visits of {len(plan.models)} blocks, 5 + 30 runs: {wall:.1f} s, "
        f"of which timed runs {timed:.1f} s, warm-up {warmup:.1f} s, loading {setup:.1f} s: "
        f"{wall / (timed + warmup + setup):.3f} times their sum",
        f"in that: {first.pushed_bytes / 1e6:.0f} MB pushed; beside it: writing the models, {wrote:.1f} s",
        f"a second run pushes {second.pushed_bytes / 1e6:.3f} MB",
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=100)
    args = parser.parse_args(argv)
    with TestPhone("x86_64", mib=2048) as phone, tempfile.TemporaryDirectory() as name:
        pushed, found = push_seconds(phone.serial, args.megabytes, Path(name))
        print(f"{args.megabytes} MB pushed in {pushed:.2f} s; found there again in {found:.2f} s", flush=True)
        for line in run_overhead(phone.serial, args.blocks, Path(name)):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
