"""From photographs to a model file, by every command that needs no other device: run by CI on Windows and macOS, and by
tests/portable/test_elsewhere.py where Linux plays them.

    python tests/portable/walk.py [STEP ...]
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import pkgutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ofa", "profilers", "device_agents", "latency_tables")
ELSEWHERE = (
    "device_agents.android.testphone",  # Linux alone: an adbd in namespaces
    "ofa.networks.gpu.batch_norm",  # where Triton is, which is asked for before they are imported
    "ofa.networks.gpu.depthwise",
    "ofa.networks.gpu.launching",
)
SPACE = str(ROOT / "tests" / "helpers" / "tiny.toml")
RECIPE = [{"name": "all", "epochs": 1, "learning_rate": 0.05, "distill": 0.0, "kernels": 3, "depths": 3, "expands": 3}]
CLASSES = ("grün", "rot")  # an umlaut in a folder's name


def main_of(module: str) -> Callable[[list[str]], int]:
    """A command's main, by its name after `python -m`."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    found: Callable[[list[str]], int] = importlib.import_module(
        f"{module}.__main__" if spec.submodule_search_locations else module
    ).main
    return found


def command(module: str, *words: object, code: int = 0) -> None:
    """Runs a command in this process; what it leaves open stays open for those that follow."""
    ended = main_of(module)([str(word) for word in words])
    assert ended == code, f"{module} ended with {ended}"


def imports() -> None:
    """Every module can be imported."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not found.name.startswith(ELSEWHERE) and not found.name.endswith("sitecustomize"):
                importlib.import_module(found.name)


def helps() -> None:
    """Every command has its --help, in an encoding without "≥" and "–" too."""
    from ofa.cli.overview import STEPS, overview

    print(overview())
    modules = [entry.module for entries in STEPS.values() for entry in entries]
    for module in (*modules, "ofa.predictors.compare", "device_agents.android.bundle"):
        try:
            main_of(module)(["--help"])
        except SystemExit as left:
            assert left.code in (0, None), module


def locks() -> None:
    """A run holds its lock, others see who does, and what a dead one left goes."""
    from ofa.errors import InputError
    from ofa.runs.files import replace_file
    from ofa.runs.lock import Lock
    from ofa.runs.places import temporary_folder

    held = Lock(Path("run.csv"))
    try:
        Lock(Path("run.csv"))
    except InputError as error:
        assert "is being written by process" in str(error), error
    else:
        raise AssertionError("two hold one lock")
    held.release()
    Lock(Path("run.csv")).release()
    for text in ("one", "two"):
        replace_file(Path("file.txt"), lambda to, text=text: to.write_text(text, encoding="utf-8", newline="\n"))
    assert Path("file.txt").read_bytes() == b"two"
    with temporary_folder("walk") as folder:
        (folder / "file.txt").touch()
        with temporary_folder("walk") as other:
            assert folder.exists()  # it is held
    assert not folder.exists() and not other.exists()


def photographs() -> None:
    """Two classes: one is greener, the other redder."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        folder = Path("photos") / name
        folder.mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 120, (40, 48, 3), dtype=np.uint8)
            pixels[..., 1 - label] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")


def workers() -> None:
    """A process that is spawned decodes as this one does."""
    import torch

    from ofa.images.files.folder import ImageFolder
    from ofa.images.pixels.augment import training_batches

    folder = ImageFolder("photos")
    here, there = (list(training_batches(folder, 32, 16, seed=0, epoch=0, workers=count)) for count in (0, 1))
    assert len(here) == 5
    for (images, labels), (others, their_labels) in zip(here, there, strict=True):
        assert torch.equal(images, others) and torch.equal(labels, their_labels)


def train() -> None:
    """A toy supernet."""
    Path("recipe.json").write_text(json.dumps(RECIPE), encoding="utf-8", newline="\n")
    settings = ["--data", "photos", "--space", SPACE, "--resolutions", "32", "--recipe", "recipe.json"]
    command("ofa.train", *settings, "--batch-size", 16, "--out", "supernet")


def profile() -> None:
    """A block, timed by the agent: a process of its own, and pinned where the system can."""
    from ofa.runs.system import usable_cpus
    from ofa.tables import LatencyTable

    runtime = ["--runtime", "onnxruntime"] if importlib.util.find_spec("onnxruntime") else ["--runtime", "torch"]
    settings = ["--space", "mbv3-w0.35", "--resolutions", 64, "--quick", "--limit", 1, *runtime]
    command("profilers.cpu", *settings, "--out", "cpu.csv")
    command("profilers.cpu", *settings, "--out", "cpu.csv", "--resume")
    table = LatencyTable.load(Path("cpu.csv"))
    assert len(table.rows) == 1 and table.rows[0].latency_ms > 0
    assert table.pinned == (usable_cpus() is not None)
    assert b"\r" not in Path("cpu.csv").read_bytes()


def search() -> None:
    """By a shipped table, and a page of what was found."""
    command("ofa.search", "--table", "note10-w1.0", "--latency", 20, 30, "--out", "found")
    command("ofa.report", "found", "--out", "report.html")


def transfer() -> None:
    """An estimated table, and a search by it."""
    networks = ROOT / "latency_tables" / "networks" / "pixel1.csv"
    command("profilers.transfer", "--networks", networks, "--from", "note10", "--space", "mbv3-w1.0", "--out", "p1.csv")
    command("ofa.search", "--table", "p1.csv", "--latency", 30, "--out", "found")  # over what was found before


def export() -> None:
    """A network of the toy supernet as ONNX, checked against PyTorch, and what it says of a photograph."""
    import numpy as np

    from ofa.space import get_space

    space = get_space(SPACE)
    (subnet,) = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[32]))
    Path("subnet.json").write_text(json.dumps(subnet.to_dict()), encoding="utf-8", newline="\n")
    given = ["--subnet", "subnet.json", "--checkpoint", "supernet/supernet.safetensors", "--calibration", "photos"]
    command("ofa.export", *given, "--format", "onnx", "--out", "net.onnx")
    command("ofa.predict", f"photos/{CLASSES[0]}/0.png", "--model", "net.onnx", "--json", "said.json")


STEPS = {
    step.__name__: step
    for step in (imports, helps, locks, photographs, search, transfer, profile, workers, train, export)
}


def main(names: list[str]) -> int:
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in names or STEPS:
            began = time.monotonic()
            STEPS[name]()
            print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
