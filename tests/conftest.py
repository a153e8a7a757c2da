"""Fixtures shared by all tests."""

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes says how busy the machine is, and nothing of the code
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# nor does chance decide whether a change passes: examples are the same in every run, but for --hypothesis-profile wide
settings.register_profile("untimed", derandomize=True, database=None, **UNTIMED)
settings.register_profile("wide", derandomize=False, print_blob=True, **UNTIMED)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


# nothing here outlives a power cut, and so nothing waits for the disk; what a command writes, it flushes still
os.fsync = lambda _: None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of two workers the second imports the test files from the last on: in a fresh checkout it takes seconds to
    rewrite their assertions, and what one worker has written the other reads.
    """
    second = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") in "13579"
    if second and session.config.args == session.config.getini("testpaths"):
        for path in sorted((ROOT / "tests").rglob("test_*.py"), reverse=True):
            with suppress(Exception, pytest.skip.Exception):  # the collection says so
                import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.hookimpl(optionalhook=True)  # a machine with a GPU may have no xdist, and first_gpu.sh loads no plugins
def pytest_xdist_auto_num_workers() -> int | None:
    """Of -n auto, half as many again as there are cores: a third of the suite waits, for phones and whole programs."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist reads it
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: what is left at the end, for whichever worker is free, is short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection() -> None:
    """What is imported stays to the end: the garbage collector need not look at it again and again meanwhile."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor hundreds of times later."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.fixture(autouse=True)
def _blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diagrams stay blank but in tests marked `drawn`: a command writes one at its end, for a quarter of a second.

    Where matplotlib is not loaded yet, the first one is drawn.
    """
    if "drawn" not in request.keywords and "matplotlib.figure" in sys.modules:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", _save_blank)


@pytest.fixture(autouse=True)
def _no_machine_unasked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's CPU is timed as it is in tests marked `live` alone, whose facts hold on any: quiet, fitful, busy.

    All others plant a machine (tests/helpers/machines.py).
    """
    local_cpu, conversation = (
        sys.modules.get(f"profilers.{name}") for name in ("devices.local_cpu", "measuring.conversation")
    )
    # a fixture of the module may have planted one
    if (
        local_cpu
        and conversation
        and local_cpu.local_agent is conversation.local_agent
        and "live" not in request.keywords
    ):
        monkeypatch.setattr(local_cpu, "local_agent", _refuse_unplanted)


def _refuse_unplanted(*_: Any) -> NoReturn:
    pytest.fail("this machine is timed as it is: plant one (plant_machine, hasty_visits), or mark the test `live`")


def _save_blank(_: Any, path: Path, **__: Any) -> None:
    path.write_bytes(b"a diagram that nobody drew")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of published figures and golden outputs, which a clone does not have."""
    folder = ROOT.parent / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip(f"published reference data is not at {folder}")
    return folder
