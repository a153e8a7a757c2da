"""Commands as two processes, which torchrun starts: each ends well, with the result that one process has.

One start of torchrun for all: it loads torch three times.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.checkpoints.tensors import read_tensors
from ofa.evaluate.__main__ import main as evaluate
from ofa.predictors.collect.__main__ import main as collect
from ofa.space import get_space
from ofa.space.description import space_record
from tests.helpers import double
from tests.helpers.photographs import write_classes
from tests.helpers.supernets import TINY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SPACE = get_space(str(TINY))
SUBNET = SPACE.subnet([3] * 6, [3] * 6, [2] * 2, 32).to_dict()
STAGES = [
    {"name": "largest", "epochs": 2, "learning_rate": 0.003, "kernels": 1, "depths": 1, "expands": 1},
    {"name": "narrow", "epochs": 2, "learning_rate": 0.003, "subnets": 2, "expands": 2, "distill": 1.0},
]


class Commands:
    """Command lines below a folder, whose results are in folders of their own: one and two, for as many processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.photos = write_classes(root / "imgs", {"train": 8, "val": 5}, classes=3, step=70)
        (root / "subnet.json").write_text(json.dumps({**space_record(SPACE), "subnet": SUBNET}))
        (root / "recipe.json").write_text(json.dumps(STAGES))
        self.supernet = root / "two" / "run" / "supernet.safetensors"
        self.of_subnet = ["--checkpoint", self.supernet, "--subnet", root / "subnet.json"]
        self.measured = ["--data", self.photos, "--batch-size", 4, "--calibration-images", 17]
        self.measured += ["--calibration-batch", 4, "--allow-poor-calibration", "--device", "cpu"]

    def train(self, out: str, *more: object) -> list[str]:
        given = ["--data", self.photos, "--space", TINY, "--held-out", 0, "--resolutions", "32,40"]
        return [str(word) for word in (*given, "--out", self.root / out, *more)]

    def in_double(self, out: str, batch: int, *more: object) -> list[str]:
        return self.train(out, "--recipe", self.root / "recipe.json", "--dropout", 0, "--batch-size", batch, *more)

    def evaluate(self, out: str) -> list[str]:
        return [*map(str, [*self.of_subnet, *self.measured, "--out", self.root / out / "r.json"])]

    def collect(self, out: str) -> list[str]:
        given = ["--checkpoint", self.supernet, *self.measured, "--subnets", 5, "--images", 14]
        return [*map(str, [*given, "--out", self.root / out / "a.csv"])]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("torchrun"))


@pytest.fixture(scope="module")
def said(commands: Commands) -> str:
    """What two processes said that ran all the commands one after the other."""
    lines = [
        ["tests.helpers.double", *commands.in_double("sync", 6, "--bn", "sync")],
        ["tests.helpers.double", *commands.in_double("local", 6, "--bn", "local")],
        ["ofa.train", *commands.train("two/run", "--method", "uniform", "--epochs", 1, "--batch-size", 8)],
        ["ofa.evaluate", *commands.evaluate("two")],
        ["ofa.predictors.collect", *commands.collect("two")],
    ]
    (commands.root / "commands.json").write_text(json.dumps(lines))
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*run, "tests.helpers.in_turn", str(commands.root / "commands.json")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:6000]
    return done.stdout


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the two processes have: another number adds up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def result(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_torchrun_starts_commands_and_sees_them_end_well(commands: Commands, said: str) -> None:
    two = commands.root / "two"
    assert [result(path)["processes"] for path in (two / "run" / "run.json", two / "r.json")] == [2, 2]
    # one of the two speaks
    for file in (two / "r.json", two / "a.csv"):
        assert said.count(f"wrote {file}") == 1
    assert [path.name for path in two.iterdir() if "journal" in path.name] == []


def test_two_processes_train_as_one_with_the_double_batch(commands: Commands, said: str) -> None:
    assert "sync" in said
    assert double.main(commands.in_double("one", 12)) == 0
    found = {name: read_tensors(commands.root / name / "supernet.safetensors")[0] for name in ("one", "sync", "local")}
    assert {of["stem.conv.weight"].dtype for of in found.values()} == {torch.float64}
    losses = {name: [row["train_loss"] for row in lines(commands.root / name)] for name in ("one", "sync")}
    assert losses["sync"] == pytest.approx(losses["one"], rel=1e-6)
    assert furthest(found["sync"], found["one"]) < 1e-6
    assert furthest(found["local"], found["one"]) > 1e-2  # each half by its own statistics is another training


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    return max(float((found[name] - expected[name]).abs().max()) for name in expected)


@pytest.mark.usefixtures("said")
def test_two_processes_evaluate_as_one(commands: Commands) -> None:
    (commands.root / "one").mkdir(exist_ok=True)
    assert evaluate(commands.evaluate("one")) == 0
    one, two = (result(commands.root / name / "r.json")["results"] for name in ("one", "two"))
    figures = [[row[key] for key in ("images", "top1", "top5", "loss")] for (row,) in (one, two)]
    assert figures[0][0] == 15
    assert figures[1] == pytest.approx(figures[0], rel=1e-6)


@pytest.mark.usefixtures("said")
def test_two_processes_collect_the_file_of_one(commands: Commands) -> None:
    (commands.root / "one").mkdir(exist_ok=True)
    assert collect(commands.collect("one")) == 0
    one, two = ((commands.root / name / "a.csv").read_text() for name in ("one", "two"))
    assert two == one
    rows = csv.DictReader(line for line in two.splitlines() if not line.startswith("#"))
    assert [(row["index"], row["images"]) for row in rows] == [(str(i), "14") for i in range(5)]
