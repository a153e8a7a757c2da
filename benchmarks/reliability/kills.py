"""Long commands killed (-9) at random moments and resumed, and two of them at once: is anything lost, or there twice?

python benchmarks/reliability/kills.py --kills 60 --pairs 20 --out out/kills         # an hour on two busy cores
python benchmarks/reliability/kills.py --kills 7 --pairs 7 --only collect evaluate

A command is run once undisturbed. Then it is started, killed at a random moment after it began to write, started with
--resume, and so on, three kills in a row, until it is left alone. What it makes must be what the undisturbed run made:
for trainings every weight, for collections and evaluations every figure, for profilers every visit of every block
once. Latencies differ, as they do between any two runs. Of two at once, started within 0.3 s of each other in one
place, one must do its work and the other must be told who is at it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SPACE = "mbv3-w0.1"
IN_A_ROW = 3
PATIENCE_S = 7200.0  # of one run, on a machine that others share, and stop
TAKEN = ("is being written by", "is in use by")


@dataclass(frozen=True)
class Job:
    """arguments: of the command, without --resume, in a folder of its own; result: what must be the same every time

    codes: with which it may end: a profiler's 1 says that the machine was busy
    """

    name: str
    arguments: Callable[[Path], Sequence[object]]
    result: Callable[[Path], Any]
    prepare: Callable[[Path], object] = lambda _: None
    codes: tuple[int, ...] = (0,)

    def start(self, folder: Path, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *map(str, self.arguments(folder)), *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment
        )


# ---- the commands, small


def make_inputs(home: Path) -> None:
    """Images of three classes, a supernet, a network, a search's result, a recipe and a table."""
    import torch

    from ofa.checkpoints.weights import save_checkpoint, save_network
    from ofa.networks import build_supernet, extract
    from ofa.space import get_space
    from tests.helpers.photographs import write_classes

    rng = np.random.default_rng(0)
    write_classes(home / "images", {"train": 40, "val": 20}, classes=3, step=70, rng=rng)
    torch.manual_seed(0)
    space = get_space(SPACE, 3)
    net = build_supernet(space, 0.0, (32, 40))
    save_checkpoint(net, home / "supernet.safetensors")
    subnets = space.decode(space.sample(rng, 6, resolutions=(32, 40)))
    save_network(extract(net, subnets[0]), home / "network")
    results = [{"subnet": subnet.to_dict()} for subnet in subnets]
    (home / "result.json").write_text(json.dumps({"space": SPACE, "num_classes": 3, "results": results}))
    stage = {"epochs": 4, "learning_rate": 0.1}
    narrow = {**stage, "name": "narrow", "subnets": 2, "expands": 2, "distill": 1.0}
    (home / "recipe.json").write_text(
        json.dumps([{**stage, "name": "largest", "kernels": 1, "depths": 1, "expands": 1}, narrow])
    )


def jobs(home: Path) -> list[Job]:
    """Every long command at a tiny size."""
    data = ("--data", home / "images")
    poor = ("--calibration-batch", 8, "--allow-poor-calibration")
    supernet = ("--checkpoint", home / "supernet.safetensors")
    cpu = ("--space", SPACE, "--resolutions", "32", "--quick", "--rounds", 2)
    train = ("--space", SPACE, "--resolutions", "32,40", "--held-out", 6, "--recipe", home / "recipe.json")
    return [
        Job(
            "train",
            lambda f: ["ofa.train", *data, *train, "--batch-size", 8, "--check-images", 6, "--out", f / "run"],
            lambda f: [_tensors(f / "run" / "supernet.safetensors"), _metrics(f / "run")],
        ),
        Job(
            "finetune",
            lambda f: ["ofa.finetune", "--network", home / "network", *data, "--epochs", 5, "--batch-size", 8, *poor,
                       "--out", f / "run"],
            lambda f: [_tensors(f / "run" / "network" / "network.safetensors"), _metrics(f / "run"),
                       json.loads((f / "run" / "result.json").read_text())],
        ),
        Job(
            "collect",
            lambda f: ["ofa.predictors.collect", *supernet, *data, "--subnets", 64, "--images", 40,
                       "--calibration-images", 40, *poor, "--out", f / "a.csv"],
            lambda f: (f / "a.csv").read_text(),
        ),
        Job(
            "evaluate",
            lambda f: ["ofa.evaluate", *supernet, "--subnet", home / "result.json", *data, "--batch-size", 4,
                       "--calibration-images", 40, *poor, "--out", f / "e.json"],
            lambda f: _without_seconds(json.loads((f / "e.json").read_text())),
        ),
        Job(
            "cpu",
            lambda f: ["profilers.cpu", *cpu, "--limit", 20, "--out", f / "t.csv"],
            lambda f: [_blocks(f / "t.csv"), _visits(f / "t.journal.jsonl")],
            codes=(0, 1),
        ),
        Job(
            "validate",
            lambda f: ["profilers.validate", "--table", f / "t.csv", "--networks", 10],
            lambda f: [_validated(f / "t.validation.json"), _visits(f / "t.validation.journal.jsonl")],
            lambda f: (f / "t.csv").write_bytes((home / "table" / "t.csv").read_bytes()),
            codes=(0, 1),
        ),
        Job(
            "regenerate",
            lambda f: ["profilers.regenerate", "--config", f / "tables.toml", "--out", f / "new", "--accept"],
            lambda f: [[_blocks(f / f"{n}.csv"), _visits(f / "new" / f"{n}.journal.jsonl"),
                        (f / f"{n}.csv").read_bytes() == (f / "new" / f"{n}.csv").read_bytes()] for n in TABLES],
            lambda f: (f / "tables.toml").write_text("".join(_entry(name, cpu) for name in TABLES)),
            codes=(0, 1),
        ),
    ]  # fmt: skip


TABLES = ("a", "b")


def _entry(name: str, cpu: Sequence[object]) -> str:
    return f'[[table]]\nfile = "{name}.csv"\nprofiler = "cpu"\nargs = {json.dumps([*map(str, cpu), "--limit", "10"])}\n'


# ---- what must be the same


def _tensors(path: Path) -> dict[str, str]:
    """The digest of every tensor of a file."""
    import hashlib

    from ofa.checkpoints.tensors import read_tensors

    tensors = read_tensors(path)[0]
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in sorted(tensors.items())}


def _metrics(run: Path) -> list[Any]:
    return [_without_seconds(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def _without_seconds(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "seconds"}


def _blocks(path: Path) -> list[str]:
    from ofa.tables import LatencyTable

    return sorted(str(row.block) for row in LatencyTable.load(path).rows)


def _visits(journal: Path) -> dict[str, Any]:
    """The visits of the first pass, each with its model, and those that were credited twice, of any pass."""
    from ofa.runs.journal import Journal

    made = [(r["pass"], r["number"], r["id"]) for r in Journal.read(journal).records if r["kind"] == "result"]
    return {"first pass": sorted(v for v in made if v[0] == 0), "twice": sorted({v for v in made if made.count(v) > 1})}


def _validated(path: Path) -> list[Any]:
    return [network["subnet"] for network in json.loads(path.read_text())["networks"]]


# ---- kills and pairs


class Lost(Exception):
    """The message says what."""


def ended(process: subprocess.Popen[str]) -> str:
    """What a run says, when it has ended by itself; none is left behind where that takes too long."""
    try:
        return process.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def whole(job: Job, folder: Path) -> tuple[Any, float]:
    """An undisturbed run's result, and how long it wrote, seconds."""
    process, began = started(job, folder)
    words = ended(process)
    if process.returncode not in job.codes:
        raise Lost(f"{job.name} ends with {process.returncode}: {words[-600:]}")
    return job.result(folder), time.monotonic() - began


def started(job: Job, folder: Path, *more: str) -> tuple[subprocess.Popen[str], float]:
    """A run that has begun to write, and when it did."""
    if not folder.exists():
        folder.mkdir(parents=True)
        job.prepare(folder)
    before = written(folder)
    process = job.start(folder, *more)
    while process.poll() is None and written(folder) == before:
        time.sleep(0.01)
    return process, time.monotonic()


def written(folder: Path) -> list[tuple[str, int]]:
    """Every file below a folder, and when it was last written, nanoseconds."""
    found = []
    for path in folder.rglob("*"):
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return sorted(found)


def finished(job: Job, folder: Path) -> str:
    """Resumes until the command ends by itself; a profiler that the dead left behind is waited for."""
    end = time.monotonic() + PATIENCE_S
    while True:
        process = job.start(folder, "--resume")
        words = ended(process)
        if process.returncode in job.codes:
            return words
        if not any(said in words for said in TAKEN) or time.monotonic() > end:
            raise Lost(f"{job.name} does not go on: {process.returncode}: {words[-600:]}")
        time.sleep(0.5)


def killed(job: Job, folder: Path, expected: Any, seconds: float, rng: random.Random, most: int) -> int:
    """How many kills hit before it was done; Lost where the result is another."""
    hits = 0
    for _ in range(most):
        process, _ = started(job, folder, "--resume")
        time.sleep(rng.uniform(0, seconds))
        process.kill()
        words, _ = process.communicate()
        hits += process.returncode == -signal.SIGKILL
        if process.returncode not in (-signal.SIGKILL, *job.codes) and not any(said in words for said in TAKEN):
            raise Lost(f"{job.name} does not go on: {process.returncode}: {words[-600:]}")
        if process.returncode in job.codes:
            break
    if not hits:
        return 0
    if process.returncode not in job.codes:
        finished(job, folder)
    compare(job, folder, expected)
    return hits


def compare(job: Job, folder: Path, expected: Any) -> None:
    """Lost where the result is another, or something half-written is left."""
    if job.result(folder) != expected:
        raise Lost(f"{job.name}: the result in {folder} is another")
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))]
    if left:
        raise Lost(f"{job.name}: {left} are left in {folder}")


def paired(job: Job, folder: Path, expected: Any, rng: random.Random) -> bool:
    """Whether two were at it at once; Lost unless then one worked and the other was told."""
    folder.mkdir(parents=True)
    job.prepare(folder)
    first = job.start(folder)
    time.sleep(rng.uniform(0, 0.3))
    second = job.start(folder)
    words = [ended(process) for process in (first, second)]
    refused = [any(said in text for said in TAKEN) for text in words]
    codes = [first.returncode, second.returncode]
    if not any(refused):
        if sorted((first.returncode, second.returncode)) == [0, 0]:
            return False  # one after the other
        raise Lost(f"{job.name}: neither is told of the other: {words[0][-300:]} {words[1][-300:]}")
    winner = refused.index(False)
    if codes[winner] not in job.codes or codes[1 - winner] != 2:
        raise Lost(f"{job.name}: two at once end with {codes}: {words[0][-300:]} {words[1][-300:]}")
    if f"process {(first, second)[winner].pid} " not in words[1 - winner]:
        raise Lost(f"{job.name}: the second is not told who is first: {words[1 - winner][-300:]}")
    compare(job, folder, expected)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--only", nargs="+", metavar="JOB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/kills"), help="a new folder")
    args = parser.parse_args()
    home, rng = args.out.resolve(), random.Random(args.seed)
    if home.exists():
        parser.error(f"--out {args.out} exists: name a new folder")
    home.mkdir(parents=True)
    make_inputs(home)
    chosen = [job for job in jobs(home) if not args.only or job.name in args.only]
    if any(job.name == "validate" for job in chosen):
        (home / "table").mkdir()
        profile = ["profilers.cpu", "--space", SPACE, "--resolutions", 32, "--quick", "--rounds", 1]
        whole(Job("table", lambda f: [*profile, "--out", f / "t.csv"], lambda _: None, codes=(0, 1)), home / "table")
    faults, began = 0, time.monotonic()
    for i, job in enumerate(chosen):
        kills, pairs, tries = ((i + 1) * n // len(chosen) - i * n // len(chosen) for n in (args.kills, args.pairs, 0))
        expected, seconds = whole(job, home / job.name / "whole")
        hits = held = 0
        while hits < kills or held < pairs:
            tries += 1
            folder = home / job.name / f"{tries}"
            try:
                if hits < kills:
                    hit = killed(job, folder, expected, seconds, rng, min(IN_A_ROW, kills - hits))
                    hits += hit
                    seconds *= 1 if hit else 0.8  # the machine was slower then
                else:
                    held += paired(job, folder, expected, rng)
            except (Lost, subprocess.TimeoutExpired) as lost:
                faults += 1
                print(f"LOST {lost}", flush=True)
                break
        print(f"{job.name:11} writes for {seconds:5.1f} s: {hits} kills, {held} pairs", flush=True)
    print(f"{faults} faults, {(time.monotonic() - began) / 60:.0f} minutes")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
