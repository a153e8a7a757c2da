"""What the shipped validations say follows from their own networks, and from the tables' rows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "latency_tables"
NAME = "h200-b64-fp16"


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/validations/check_validations.py", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


def test_every_shipped_validation_is_reached_a_second_way() -> None:
    done = checked()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = [line for line in done.stdout.splitlines() if line.endswith(" networks")]
    assert len(told) == len(list(TABLES.glob("*.validation.json"))) >= 4


def test_a_score_or_a_row_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.validation.json"
    shutil.copy(TABLES / f"{NAME}.csv", tmp_path)
    told = json.loads((TABLES / path.name).read_text())
    told["scores"]["bias_pct"] *= -1
    told["networks"][0]["predicted_ms"] += 0.001
    path.write_text(json.dumps(told))
    done = checked(path)
    assert done.returncode == 1
    assert f"{path.name}: scores: bias_pct is -0.07, recomputed 0.07" in done.stdout
    assert f"{path.name}: network 0: predicted_ms is 1.142054, the table says 1.141054" in done.stdout


def test_a_validation_lies_beside_its_table_and_is_what_the_header_says() -> None:
    for path in TABLES.glob("*.validation.json"):
        told = json.loads(path.read_text())
        table = path.name.replace(".validation.json", ".csv")
        assert told["table"] == table
        header = (TABLES / table).read_text()
        scores = told["scores"]
        assert f"# expected_error: MAPE {scores['mape_pct']} %, bias {scores['bias_pct']:+} %, " in header
        assert f"# sum_correction: {told['sum_correction']} (" in header
        compared = [network["predicted_ms"] for network in told["networks"] if network["scored"]]
        assert f"# expected_error_ms: {min(compared):.4g} to {max(compared):.4g}\n" in header


def test_occasions_of_the_rows_that_are_shipped_are_reached_again() -> None:
    """Their predicted_ms may have another correction; plain sums are of the same rows, and are reached again."""
    done = subprocess.run(
        [sys.executable, "benchmarks/validations/across_occasions.py"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    of_the_xeon = [
        (f"xeon-amx-vm-{way}", 2) for way in ("onnxruntime-int8", "openvino", "openvino-bf16", "openvino-int8")
    ]
    for name, number, path in (
        ("epyc-vm-onnxruntime", 4, ROOT / "benchmarks/validations/occasions/epyc-vm-onnxruntime.4.json"),
        ("epyc-vm-onnxruntime", 6, TABLES / "epyc-vm-onnxruntime.validation.json"),
        ("epyc-vm-tflite", 1, ROOT / "benchmarks/validations/occasions/epyc-vm-tflite.1.json"),
        ("epyc-vm-tflite", 2, TABLES / "epyc-vm-tflite.validation.json"),
        *((table, n, ROOT / f"benchmarks/validations/occasions/{table}.{n}.json") for table, n in of_the_xeon),
    ):
        plain = json.loads(path.read_text())["scores_without_correction"]
        line = f"  {number} {number} {plain['networks']:4}  {plain['mape_pct']:5.2f} {plain['bias_pct']:+5.2f}"
        assert line in done.stdout.partition(f"{name}.csv")[2]
