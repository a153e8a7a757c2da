"""The wheel in an environment without extras: a folder of site-packages with nothing but what `dependencies` asks for.

No file of the checkout is in reach of it: the commands run in an empty folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("packaging", reason="reading requirements needs packaging")
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ofa", "profilers", "device_agents", "latency_tables")
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OUR_CLUTTER = shutil.ignore_patterns("__pycache__", "*.pyc", "*.png", "*.journal.jsonl")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without the network, from a copy: a build leaves folders behind, and takes what lies in them."""
    for builder in ("setuptools", "pip"):
        if importlib.util.find_spec(builder) is None:
            pytest.skip(f"building a wheel without the network needs {builder} here")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=OUR_CLUTTER)
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source / name)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", out, source]
    subprocess.run([sys.executable, *build], check=True)
    (built,) = out.glob("*.whl")
    return built


def required() -> dict[str, Distribution]:
    """What is installed here of what the project's `dependencies` ask for, and so on; no extra."""
    found: dict[str, Distribution] = {}
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # setuptools and the like, that torch asks for and does without
        wanted += [Requirement(line) for line in found[name].requires or ()]
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of links to the required packages, and the wheel: what `pip install WHEEL` makes."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for found in required().values():
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            here = Path(str(found.locate_file(top)))
            if here.exists() and not (site / top).exists():
                (site / top).symlink_to(here)
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel]
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    return folder


def call(environment: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment, run in a folder."""
    program = environment / "bin" / words[0]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return subprocess.run(
        [program, *words[1:]],
        cwd=folder,
        env=clean,
        text=True,
        capture_output=True,
    )


def test_all_that_git_knows_of_the_packages_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "--", *PACKAGES], cwd=ROOT, text=True, capture_output=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("this is no checkout: what belongs into the wheel is not known")
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    untracked = {name for name in packed - tracked if (ROOT / name).is_file()}
    assert tracked - packed == set()
    assert packed - tracked == untracked


def test_the_commands_run_without_the_checkout(environment: Path, tmp_path: Path) -> None:
    where = call(
        environment, tmp_path, "python", "-c", "import ofa, profilers; print(ofa.__file__, profilers.__file__)"
    )
    assert all(Path(path).is_relative_to(environment) for path in where.stdout.split()), where
    assert "ofa profile cpu" in call(environment, tmp_path, "ofa").stdout
    helped = call(environment, tmp_path, "python", "-m", "profilers.cpu", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    searched = call(
        environment, tmp_path, "ofa", "search", "--table", "note8", "--latency", "20", "25", "--out", "found"
    )
    assert searched.returncode == 0, searched.stderr
    assert "pip install 'ofa-latency[report]'" in searched.stdout  # for the plot, the one thing that is left out
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["found", "result.json"]


def images(folder: Path) -> Path:
    """CIFAR-10's binary version, 300 images a file: the one data set that can be written without Pillow."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        rows = rng.integers(0, 256, (300, 3073), dtype=np.uint8)
        rows[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("ofa.train --data IMAGES --space mbv3-w0.35 --resolutions 48:96:4 --out out", "train"),
        ("profilers.cpu --space mbv3-w0.35 --out out.csv", "onnxruntime"),
        ("profilers.cpu --space mbv3-w0.35 --runtime tflite --out out.csv", "tflite"),
        ("profilers.android --list", "android"),
        ("profilers.compare xeon-vm-onnxruntime xeon-vm-tflite", "report"),
        ("profilers.regenerate --config SHIPPED/tables.toml --out out", "report"),
        ("profilers.validate --table xeon-vm-onnxruntime", "report"),
        ("ofa.report xeon-vm-onnxruntime", "report"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_way_out(
    environment: Path, tmp_path: Path, words: str, extra: str
) -> None:
    (shipped,) = environment.glob("lib/python*/site-packages/latency_tables")
    folder = tmp_path / "empty"
    folder.mkdir()
    words = words.replace("IMAGES", str(images(tmp_path / "images"))).replace("SHIPPED", str(shipped))
    done = call(environment, folder, "python", "-m", *words.split())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.fullmatch(rf"error: [^\n]+: pip install 'ofa-latency\[{extra}\]'\n", done.stderr), done.stderr
    assert list(folder.iterdir()) == []


def test_a_configuration_that_is_not_there_is_told_where_one_is(environment: Path, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nfrom profilers.changes.tables_config import load_config\n"
        "try:\n    load_config(Path('no.toml'), {})\nexcept ValueError as error:\n    print(error)"
    )
    said = call(environment, tmp_path, "python", "-c", program).stdout
    match = re.fullmatch(r"no\.toml: no such configuration \(the project's own is (.+)\)\n", said)
    assert match
    assert Path(match[1]).is_file()
    assert Path(match[1]).is_relative_to(environment)
