"""The notebooks run from top to bottom, as scripts: what jupytext makes of them."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

import ofa
from tests.helpers.short import hasty_visits, one_split, short_searches

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SLOW = {"own_data"}  # trains, and times a device: runs in this process, which has loaded torch


def script_of(path: Path, folder: Path) -> Path:
    script = folder / "notebook.py"
    script.write_text(jupytext.writes(jupytext.read(path), fmt="py:percent"), encoding="utf-8")
    return script


def ran(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    script = script_of(path, folder)
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script.name]
    return subprocess.run(command, cwd=folder, env=surroundings, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem not in SLOW], ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    done = ran(path, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "network.onnx").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in SLOW], ids=lambda path: path.stem)
def test_a_slow_notebook_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = script_of(path, tmp_path)
    text = script.read_text(encoding="utf-8")
    # modules that other tests have imported are no reason for it to run: it names what is public
    assert set(re.findall(r"\bofa\.(\w+)", text)) <= ofa._HOMES.keys()
    # the rest of a training is like its beginning
    assert "epochs=10," in text
    script.write_text(text.replace("epochs=10,", "epochs=2,"), encoding="utf-8")
    for shorten in (short_searches, one_split, hasty_visits):
        shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(script.name, run_name="__main__")
    assert capfd.readouterr().err == ""
    assert (tmp_path / "network.onnx").is_file()


def test_they_are_found_and_hold_no_outputs_that_would_grow_old() -> None:
    assert {path.stem for path in NOTEBOOKS} >= SLOW | {"tutorial"}
    for path in NOTEBOOKS:
        cells = [cell for cell in jupytext.read(path).cells if cell.cell_type == "code"]
        assert len(cells) >= 5
        assert not any(cell.outputs or cell.execution_count for cell in cells), path.name


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    notebook = jupytext.reads("# %% [markdown]\n# # A page\n\n# %%\nprint(1)\n\n# %%\nno_such_name\n", fmt="py:percent")
    jupytext.write(notebook, tmp_path / "planted.ipynb")
    done = ran(tmp_path / "planted.ipynb", tmp_path)
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert "NameError" in done.stderr
