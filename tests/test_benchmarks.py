"""Benchmarks are run by hand, and seldom: whatever they take from the packages must still be there."""

import ast
import os
import re
import runpy
import subprocess
import sys
import tomllib
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


def test_the_first_minutes_on_a_gpu_ask_for_all_packages_that_are_needed() -> None:
    """A machine that is lent for minutes has no network: what it lacks must be known before."""
    (line,) = re.findall(r"^needed = (\[.*\])$", (FOLDER / "latency" / "gpu_tables.sh").read_text(), re.MULTILINE)
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    required = {re.split("[><=]", name)[0].replace("-", "_") for name in project["dependencies"]}
    assert required <= set(ast.literal_eval(line))


def test_tests_are_collected_where_pytest_has_no_plugins() -> None:
    """As first_gpu.sh starts them: a machine with a GPU may have none, or others."""
    collected = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-W",
            "default",
            "-p",
            "no:cacheprovider",
            "tests/test_version.py",
        ],
        cwd=FOLDER.parent,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
