"""Benchmarks are run by hand, and seldom: whatever they take from the packages must still be there."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
FILES = sorted(FOLDER.rglob("*.py"))
# the others are what these share
BENCHMARKS = [path for path in FILES if "__main__" in path.read_text()]


def test_they_are_found_and_listed() -> None:
    assert len(BENCHMARKS) >= 18
    text = (FOLDER / "README.md").read_text()
    scripts = [path for path in (*BENCHMARKS, *FOLDER.rglob("*.sh")) if path.name != "first_gpu_probe.py"]
    assert [path.name for path in scripts if f"benchmarks/{path.relative_to(FOLDER).as_posix()}" not in text] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_finds_what_it_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    names = runpy.run_path(str(path), run_name="imported")
    if path in BENCHMARKS:
        assert "main" in names
    else:
        importing = [other for other in path.parent.glob("*.py") if f"from {path.stem} import" in other.read_text()]
        assert importing, f"{path} is neither a benchmark nor of use to one"
