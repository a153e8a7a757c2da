"""benchmarks/training/deployment_cost.py: its sums, its break-even, and where each of its figures is from."""

import runpy
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "training" / "deployment_cost.py"
DATA = tomllib.loads(SCRIPT.with_suffix(".toml").read_text(encoding="utf-8"))
ORIGIN = ("what", "machine", "date", "command", "log")


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="imported"))


def without_origin(data: dict[str, object]) -> list[str]:
    """Measured figures that lack a part of where they are from."""
    figures = [(key, value) for key, value in data.items() if isinstance(value, dict)]
    figures += [(f"alone {i}", one) for i, one in enumerate(DATA["alone"])]
    return [f"{name}: {key}" for name, figure in figures for key in ORIGIN if not figure.get(key)]


def test_each_figure_says_where_it_is_from() -> None:
    assert without_origin(DATA) == []
    assert without_origin({**DATA, "fit": {**DATA["fit"], "log": ""}}) == ["fit: log"]


def test_a_training_has_all_its_epochs() -> None:
    whole = [DATA["supernet"], *DATA["alone"]]
    assert [len(one["epoch_seconds"]) for one in whole] == [one["epochs"] for one in whole]


def test_break_even_is_that_of_a_count(script: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        once, other_once = rng.integers(0, 40, 2)
        each, other_each = rng.integers(0, 6, 2)
        first, other = script.Way("a", int(once), int(each)), script.Way("b", int(other_once), int(other_each))
        counted = next((n for n in range(1, 60) if once + n * each <= other_once + n * other_each), None)
        assert script.break_even(first, other) == counted, (first, other)


def test_the_sums(script: SimpleNamespace) -> None:
    """By hand, from the figures: a median of 35.95 s for 128 epochs, 2,373 s and 7 s once; 178 + 0.56 + 4.62 s each."""
    ours = script.ways_of(DATA, 1, 0)[0]
    assert ours.once == pytest.approx((128 * np.median(DATA["supernet"]["epoch_seconds"]) + 2380) / 3600)
    assert ours.each == pytest.approx(183.18 / 3600)
    assert script.ways_of(DATA, 178, 0)[0].each == pytest.approx(6.18 / 3600)
    energy = script.ways_of(DATA, 1, 0, lambda figure: script.kwh(figure, 1000.0, 2.0))[0]
    assert energy.cost(40) == pytest.approx(2 * ours.cost(40))
    assert script.kwh({**DATA["fit"], "kwh": 3.0}, 1000.0, 2.0) == 3.0


def test_the_paper_s_totals_are_its_own_sums(script: SimpleNamespace) -> None:
    """Printed to two digits, for 40 deployments; OFA's own is printed as 1.2k, of 1,240."""
    for one, way in zip(DATA["paper"], script.paper_ways(DATA), strict=True):
        assert way.cost(40) / 1000 == pytest.approx(one["printed_thousand_hours"], rel=0.036), one["name"]
        if one["name"] != "MobileNetV3-Large":  # 1.8k lbs, where the others' rate would give 2.0k
            lbs = way.cost(40) * script.lbs_per_gpu_hour(DATA) / 1000
            assert lbs == pytest.approx(one["printed_thousand_lbs"], rel=0.04), one["name"]


def test_it_runs(script: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--out", str(tmp_path / "a" / "costs.json")]) == 0
    assert "N = 8" in capsys.readouterr().out
    assert (tmp_path / "a" / "costs.json").is_file()
