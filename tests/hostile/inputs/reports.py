"""What a report reads beside tables: results of searches, verifications, evaluations, trainings, validations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..edits import GONE, Edit, at, put
from ..format import Format
from ..sound import SPACE, SUBNET

ROW = {
    "table": "t",
    "limit_ms": 20,
    "latency_ms": 19.5,
    "predicted_top1": 70.5,
    "predicted_top1_std": 0.4,
    "macs_millions": 200.5,
    "subnet": SUBNET.to_dict(),
}
TABLE = {"path": "none.csv", "device": "D", "runtime": "R", "provenance": "measured", "resolutions": [64]}
SEARCH = {
    "space": SPACE.name,
    "num_classes": 1000,
    "tables": {"t": TABLE},
    "settings": {"latency": [20.0], "table": []},
}
MEASURED = {"predicted_ms": 19.5, "measured_ms": 19.9, "standard_error_pct": 0.5, "visits": 6, "doubtful": False}


def make_search(folder: Path) -> None:
    (folder / "result.json").write_text(json.dumps({**SEARCH, "results": [ROW, {**ROW, "latency_ms": 25.0}]}))


def make_verification(folder: Path) -> None:
    network = {**MEASURED, "subnet": SUBNET.to_dict()}
    verification = {"command": "python -m profilers.verify", "same_machine": True, "networks": [network]}
    content = {**SEARCH, "results": [{**ROW, **MEASURED, "found": network}], "verification": verification}
    (folder / "verified.json").write_text(json.dumps({**content, "not_kept": [{"limit_ms": 3.0, "found": None}]}))


def make_evaluation(folder: Path) -> None:
    row: dict[str, Any] = {"name": "n", "resolution": 64, "subnet": None, "images": 20, "top1": 85.0}
    row["confusion"] = {"cat": {"cat": 9, "dog": 1}, "dog": {"dog": 8, "cat": 2}}
    content = {"checkpoint": "w", "data": "d", "split": "val", "class_index": {"cat": 0, "dog": 1}, "results": [row]}
    (folder / "evaluation.json").write_text(json.dumps({**content, "marks": ["few"], "settings": {"limit": 3}}))


def make_metrics(folder: Path) -> None:
    rows = [
        {"epoch": i + 1, "train_loss": 1.5, "train_top1": 30.0, "stage": f"s{i}", "largest_top1": 40.0} for i in (0, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_validation(folder: Path) -> None:
    networks = [{"predicted_ms": 5.0, "measured_ms": 5.1, "scored": True}, {"predicted_ms": 6.0, "measured_ms": 5.9}]
    content = {
        "table": "t.csv",
        "device": "D",
        "runtime": "R",
        "when": "2026-11-26",
        "command": "c",
        "networks": networks,
    }
    (folder / "validation.json").write_text(json.dumps({**content, "scores": {"mape_pct": 1.5, "networks": 2}}))


def make_baselines(folder: Path) -> None:
    gain = {"times_faster": 1.5, "points_better": -0.5, "at_least_faster": False, "at_least_better": True}
    published = {"name": "MobileNetV2", "latency_ms": 8.0, "standard_error_ms": 0.1, "published": {"paper": 72.0}}
    found = {**ROW, "predicted_ms": 19.0, "standard_error_ms": 0.2, "visits_ms": [19.5]}
    content = {"table": "t.csv", "device": "D", "runtime": "R", "space": SPACE.name, "num_classes": 1000, "batch": 1}
    content |= {"baselines": [{**published, "found_networks": {"paper": gain}}], "found": [found]}
    (folder / "baselines.json").write_text(json.dumps(content))


def read(path: Path) -> None:
    """What is shown of it: all but the plotting library is put together, and nothing in it is no JSON."""
    from ofa.report import page
    from ofa.report.config import ReportConfig
    from ofa.report.run import page_of

    made = page_of(ReportConfig(runs=(str(path),)))
    for section in made.sections:
        for figure in section.figures:
            assert "</" not in page.as_script(figure.spec)
        for table in section.tables:
            assert all(len(row) == len(table.heads) for row in table.rows)
            assert all(cell.isprintable() for row in table.rows for cell in row)


FORMATS: Mapping[str, Format] = {
    "report-search": Format("result.json", make_search, read),
    "report-verification": Format("verified.json", make_verification, read),
    "report-evaluation": Format("evaluation.json", make_evaluation, read),
    "report-metrics": Format("metrics.jsonl", make_metrics, read),
    "report-validation": Format("validation.json", make_validation, read),
    "report-baselines": Format("baselines.json", make_baselines, read),
}

S, V, E, B = "result.json", "verified.json", "evaluation.json", "baselines.json"
REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "report-search": {
        "results-text": at(S, "results", value="all"),
        "none": at(S, "results", value=[]),
        "latency-zero": at(S, "results", 0, "latency_ms", value=0),
        "latency-gone": at(S, "results", 0, "latency_ms", value=GONE),
        "top1-text": at(S, "results", 1, "predicted_top1", value="70"),
        "std-negative": at(S, "results", 0, "predicted_top1_std", value=-1),
        "macs-list": at(S, "results", 0, "macs_millions", value=[1]),
        "table-other": at(S, "results", 0, "table", value="u" * 5000),
        "table-list": at(S, "results", 0, "table", value=["t"]),
        "tables-list": at(S, "tables", value=["t"]),
        "subnet-text": at(S, "results", 0, "subnet", value="7" * 5000),
        "depths-9": at(S, "results", 0, "subnet", "depths", value=[9] * 5),
        "space": at(S, "space", value="<b>" * 1000),
        "classes": at(S, "num_classes", value="10"),
        "settings-list": at(S, "settings", value=[1]),
        "scale-text": at(S, "scale", value="x"),
    },
    "report-verification": {
        "measured-negative": at(V, "results", 0, "measured_ms", value=-1),
        "predicted-gone": at(V, "results", 0, "predicted_ms", value=GONE),
        "found-list": at(V, "results", 0, "found", value=[1]),
        "networks-text": at(V, "verification", "networks", value="x"),
        "command-list": at(V, "verification", "command", value=["x"]),
        "not-kept": at(V, "not_kept", value=[{"limit_ms": "3"}]),
    },
    "report-evaluation": {
        "confusion-text": at(E, "results", 0, "confusion", "cat", "dog", value="1"),
        "confusion-list": at(E, "results", 0, "confusion", value=[[1, 2]]),
        "top1-300": at(E, "results", 0, "top1", value=300),
        "images-half": at(E, "results", 0, "images", value=0),
        "name-number": at(E, "results", 0, "name", value=3),
    },
    "report-metrics": {
        "no-json": put("metrics.jsonl", "epoch 1\n"),
        "list": put("metrics.jsonl", "[1]\n"),
        "loss-text": put("metrics.jsonl", '{"epoch": 1, "train_loss": "low", "train_top1": 30.0}\n'),
        "epoch-text": put("metrics.jsonl", '{"epoch": "1", "train_loss": 1.5, "train_top1": 30.0}\n'),
    },
    "report-baselines": {
        "latency": at(B, "baselines", 0, "latency_ms", value="8"),
        "name": at(B, "baselines", 0, "name", value=None),
        "top1": at(B, "baselines", 0, "published", "paper", value=720),
        "faster": at(B, "baselines", 0, "found_networks", "paper", "times_faster", value=-1),
        "found": at(B, "found", 0, "predicted_ms", value=GONE),
    },
}

# what may be read, as long as it is read soundly
ODD: Mapping[str, Mapping[str, Edit]] = {
    "report-search": {
        "device-html": at(S, "tables", "t", "device", value="</script><b>\u202e"),
        "device-number": at(S, "tables", "t", "device", value=7),
        "path-device": at(S, "tables", "t", "path", value="/dev/zero"),
        "path-long": at(S, "tables", "t", "path", value="x" * 5000),
        "batch": at(S, "tables", "t", "batch", value="9" * 30),
        "limits": at(S, "settings", "latency", value={"a": [1]}),
        "expected-error": at(S, "tables", "t", "expected_error", value="MAPE 1e9999 %, bias " * 100),
    },
    "report-evaluation": {"class-html": at(E, "results", 0, "confusion", "</script>\u202e", value={"<b>": 3})},
}

JSON = {
    "report-search": S,
    "report-verification": V,
    "report-evaluation": E,
    "report-validation": "validation.json",
    "report-baselines": B,
}
