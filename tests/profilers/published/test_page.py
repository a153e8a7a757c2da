"""docs/baselines.md shows what was measured, and its gains are reached a second way."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks/search/baselines_page.py"), run_name="imported")
FILES = sorted((ROOT / "latency_tables").glob("*.baselines.json"))


def test_the_page_is_what_was_measured() -> None:
    assert len(FILES) >= 4
    assert SCRIPT["main"](["--check"]) == 0


def content() -> dict[str, Any]:
    return json.loads(FILES[0].read_text())


@pytest.mark.parametrize(("key", "other"), [("times_faster", 0.9), ("points_better", None)])
def test_a_gain_that_its_latencies_do_not_give_is_named(key: str, other: float | None) -> None:
    changed = content()
    one = next(one for one in changed["baselines"] if one["network"] == "mobilenet_v2")
    one["found_networks"]["timm"][key] = other
    (fault,) = SCRIPT["wrong"]("f", changed)
    assert f"f: MobileNetV2, timm: {key} is {other}, recomputed " in fault


def test_a_row_that_was_changed_by_hand_is_noticed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(SCRIPT["PAGE"].read_text().replace("| MobileNetV2 | 301 |", "| MobileNetV2 | 300 |"))
    SCRIPT["main"].__globals__["PAGE"] = page
    assert SCRIPT["main"](["--check"]) == 1
    assert "is not what was measured" in capsys.readouterr().out
    assert SCRIPT["main"]([]) == 0
    assert page.read_text() == (ROOT / "docs/baselines.md").read_text()
