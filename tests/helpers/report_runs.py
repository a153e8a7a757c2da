"""Runs to report: what the commands leave, made in a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ofa.runs.files import write_json
from ofa.search import __main__ as search
from ofa.tables import find_table

NASTY = "</script><img src=x onerror=alert(1)> & \"quoted\" 'too' \u202e"


def searched(folder: Path, *words: str) -> Path:
    """The folder of a real search of a shipped table, of which there is a copy without what lies beside it."""
    table = folder.parent / "tables" / "xeon-vm-onnxruntime.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(find_table("xeon-vm-onnxruntime").read_bytes())
    assert search.main(["--table", str(table), *words, "--out", str(folder)]) == 0
    return folder


def verified(result: Path) -> Path:
    """What profilers.verify leaves beside it, as if each network took 1 % more than its sum, the last one 4 % less."""
    content = json.loads(result.read_text())
    last = content["results"][-1]
    rows = []
    for row in content["results"][-3:]:
        ms = row["latency_ms"] * (0.96 if row is last else 1.01)
        rows.append(
            {
                **row,
                "limit_ms": round(row["latency_ms"] + (1 if row is last else 0), 2),
                "latency_ms": ms,
                "predicted_ms": row["latency_ms"],
                "measured_ms": ms,
                "odd_ms": ms,
                "even_ms": ms,
                "standard_error_pct": 0.4,
                "visits": 6,
                "doubtful": False,
                "round": 1,
                "found": None,
            }
        )
    whole = [{k: row[k] for k in (*MEASURED, "subnet")} for row in rows]
    verification = {"command": "python -m profilers.verify --quick", "same_machine": True, "networks": whole}
    path = result.with_name("verified.json")
    write_json(path, {**content, "results": rows, "not_kept": [], "verification": verification})
    return path


MEASURED = ("predicted_ms", "measured_ms", "odd_ms", "even_ms", "standard_error_pct", "visits", "doubtful", "round")


def evaluated(path: Path, subnet: dict[str, Any] | None = None, classes: int = 12, nasty: str = "") -> Path:
    """Of one network that takes a tenth of each class for the next one; nasty: the first class's name."""
    names = [f"class {i}" for i in range(classes)]
    names[0] = nasty or names[0]
    confusion = {name: {name: 45, names[(i + 1) % classes]: 5} for i, name in enumerate(names)}
    row = {
        "name": "found 20 ms",
        "resolution": 160,
        "subnet": subnet,
        "images": 50 * classes,
        "top1": 90.0,
        "top5": 99.0,
        "loss": 0.4,
        "broken": 0,
        "predicted_top1": 91.5,
        "per_class": {name: {"images": 50, "top1": 90.0} for name in names},
        "confusion": confusion,
    }
    index = {name: i for i, name in enumerate(names)}
    settings = {"checkpoint": {"file": "w.safetensors", "sha256": "0" * 64}, "data": {"file": "img", "sha256": "0"}}
    content = {
        "checkpoint": "runs/w.safetensors",
        "data": "img",
        "split": "val",
        "class_index": index,
        "results": [row],
    }
    write_json(path, {**content, "marks": ["calibrated with 24 images"], "settings": {**settings, "limit": 600}})
    return path


def trained(folder: Path, epochs: int = 700) -> Path:
    """A training of two stages, with the stages' own folders, longer than a line has points."""
    lines = []
    for number in range(epochs):
        stage = "largest" if number < 300 else "all"
        line = {
            "epoch": number % 300 + 1,
            "train_loss": 2 / (1 + number / 50),
            "train_top1": 80 - 60 / (1 + number / 50),
        }
        if number % 2:
            line |= {"largest_top1": 85 - 60 / (1 + number / 50), "largest_loss": 1.9 / (1 + number / 50)}
        lines.append(json.dumps({**line, "learning_rate": 0.1, "stage": stage}) + "\n")
    for part, some in (("", lines), ("1-largest", lines[:300]), ("2-all", lines[300:])):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "metrics.jsonl").write_text("".join(some))
    write_json(folder / "run.json", {"space": "mbv3-w0.35", "stages": [], "data": {"file": "img", "sha256": "0" * 64}})
    return folder


def finetuned(folder: Path) -> Path:
    """A fine-tuning of three epochs."""
    folder.mkdir(parents=True)
    rows = [{"epoch": i + 1, "train_loss": 1.0, "train_top1": 60.0 + i, "val_top1": 50.0 + i} for i in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "classes.json", {"cat": 0, "dog": 1})
    write_json(folder / "result.json", {"calibration_images": 120, "val_images": 60, "val_top1": 55.0, "val_loss": 1.0})
    return folder


def compared(path: Path, result: Path) -> Path:
    """What profilers.baselines leaves: three published networks, and every second one of a search, 3 % slower."""
    content = json.loads(result.read_text())
    ((name, facts),) = content["tables"].items()
    found = []
    for row in content["results"][::2]:
        ms = 1.03 * row["latency_ms"]
        measured = {"latency_ms": ms, "predicted_ms": row["latency_ms"], "standard_error_ms": 0.01 * ms}
        found.append({**row, **measured, "visits_ms": [ms] * 4, "doubtful": False})
    gain = {"times_faster": 1.5, "points_better": 0.5, "at_least_faster": False, "at_least_better": True}
    published = [
        {
            "name": f"Net {top1s[0]}",
            "latency_ms": ms,
            "standard_error_ms": 0.05,
            "doubtful": ms > 9,
            # some have no accuracy of timm's
            "published": dict(zip(("paper", "timm"), top1s, strict=False)),
            "found_networks": {"paper": gain},
        }
        for ms, top1s in ((4.0, (70.5, 72.0)), (8.0, (75.0,)), (60.0, (71.0, 74.5)))
    ]
    head = {"table": f"{name}.csv", "device": facts["device"], "runtime": facts["runtime"], "batch": 1}
    head |= {"space": content["space"], "command": "python -m profilers.baselines --table t", "same_machine": True}
    write_json(path, {**head, "when": "2026-11-26T19:12:12+00:00", "baselines": published, "found": found})
    return path
