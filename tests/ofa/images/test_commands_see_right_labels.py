"""Whole commands with networks that read an image's number from its colour: whoever keeps labels right, scores 100 %.

300 images of five unequal classes, three broken; one process, or two (threads here) that share the work.
"""

from __future__ import annotations

import csv
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.checkpoints.weights import save_checkpoint
from ofa.evaluate.__main__ import main as evaluate
from ofa.finetune.__main__ import main as finetune
from ofa.images.files.opening import open_images
from ofa.images.held_out import Photos
from ofa.images.preprocessing import IMAGENET
from ofa.networks import PlainNetwork, Supernet, build_supernet
from ofa.networks.tree import SubnetTree
from ofa.predictors.collect import __main__ as collect
from ofa.runs import processes
from ofa.runs.processes import Processes
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.training.checkup import Checkup
from ofa.training.supply import Preparation
from tests.helpers.supernets import TINY

from .numbered import COUNTS, IMAGES, broken_names, label_of, numbers_of, together, whole, without_jitter, write_folder

SPACE = get_space(str(TINY), len(COUNTS))
SUBNET = SPACE.subnet([3] * 6, [3] * 6, [2] * 2, 32)
GOOD = IMAGES - len(broken_names("val"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """imgs; supernet.safetensors; subnet.json."""
    root = tmp_path_factory.mktemp("commands")
    write_folder(root / "imgs")
    torch.manual_seed(0)
    facts = {"mean": IMAGENET[0], "std": IMAGENET[1], "classes": [f"class{i}" for i in range(len(COUNTS))]}
    save_checkpoint(build_supernet(SPACE, dropout=0.0, resolutions=[32]), root / "supernet.safetensors", facts=facts)
    (root / "subnet.json").write_text(json.dumps({**space_record(SPACE), "subnet": SUBNET.to_dict()}))
    return root


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each image was asked about. Networks answer with the class that its number has."""
    asked: Counter[int] = Counter()
    lock = threading.Lock()

    def answers(images: Tensor) -> Tensor:
        numbers = numbers_of(images, *IMAGENET)
        with lock:
            asked.update(numbers)
        logits = torch.zeros(len(images), len(COUNTS))
        for row, number in zip(logits, numbers, strict=True):
            row[label_of(number)] = 9.0
        return logits

    forward = PlainNetwork.forward
    monkeypatch.setattr(Supernet, "forward", lambda _, images, *__: answers(images))
    monkeypatch.setattr(PlainNetwork, "forward", lambda self, images: 0 * forward(self, images) + answers(images))
    monkeypatch.setattr(SubnetTree, "logits", lambda self, _: lambda images: [answers(images)] * len(self.subnets))
    without_jitter(monkeypatch)
    return asked


def by_processes(monkeypatch: pytest.MonkeyPatch, count: int, command: Callable[[], int]) -> None:
    """Runs a command as so many processes."""
    mine = threading.local()

    @contextmanager
    def joined(*_: object) -> Iterator[Processes]:
        yield mine.procs

    def work(procs: Processes) -> int:
        mine.procs = procs
        return command()

    monkeypatch.setattr(processes, "processes", joined)
    assert together(count, work) == [0] * count


def flags(files: Path, out: Path, *more: object) -> list[str]:
    given = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--out", out]
    return [str(flag) for flag in (*given, *more)]


@pytest.mark.parametrize("count", [1, 2])
def test_evaluate(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Counter[int], count: int) -> None:
    given = flags(files, tmp_path / "r.json", "--subnet", files / "subnet.json", "--batch-size", 64)
    by_processes(monkeypatch, count, lambda: evaluate([*given, "--calibration-images", "100"]))
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["results"][0]["top1"], report["results"][0]["images"]) == (100.0, GOOD)
    assert seen == Counter(whole("val"))
    named = json.dumps(report["broken"])
    assert [name for name in broken_names("val") if name not in named] == []
    assert len(report["broken"]) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_collect(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Counter[int], count: int) -> None:
    given = flags(files, tmp_path / "a.csv", "--subnets", 2, "--images", IMAGES, "--calibration-images", 100)
    by_processes(monkeypatch, count, lambda: collect.main(given))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [(float(row["top1"]), int(row["images"])) for row in rows] == [(100.0, GOOD)] * 2
    assert set(seen) == whole("val")
    assert len(set(seen.values())) == 1  # each of them as often as the others


@pytest.mark.parametrize("count", [1, 2])
def test_check_ups_of_a_training(files: Path, seen: Counter[int], count: int) -> None:
    folder = open_images(files / "imgs", split="train")
    photos = Photos(folder, tuple(range(0, IMAGES, 3)), tuple(i for i in range(IMAGES) if i % 3))
    net = build_supernet(SPACE, resolutions=[32])

    def work(procs: Processes) -> dict[str, Any]:
        check = Checkup(photos, Preparation(64, *IMAGENET), procs, 32, IMAGES, 100)
        return check(net, {"largest": SUBNET})

    expected = {number for number in whole("train") if number % 3}
    found = together(count, work)
    assert [(row["largest_top1"], row["largest_images"]) for row in found] == [(100.0, len(expected))] * count
    assert seen == Counter(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_finetune(files: Path, tmp_path: Path, seen: Counter[int], workers: int) -> None:
    more = ["--subnet", files / "subnet.json", "--epochs", 1, "--batch-size", 50, "--workers", workers]
    assert finetune(flags(files, tmp_path / "run", *more)) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(row["train_top1"], row["train_images"]) for row in rows] == [(100.0, GOOD)]
    assert [(row["val_top1"], row["val_images"]) for row in rows] == [(100.0, GOOD)]
    assert set(seen) == whole("train") | whole("val")
