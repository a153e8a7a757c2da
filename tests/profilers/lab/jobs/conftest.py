"""Processes of jobs find the packages of this checkout, wherever they work."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from profilers.lab.run import driver
from tests.helpers.labs import LocalHosts, phone

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def _this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setattr(driver, "TICK_S", 0.02)
    monkeypatch.setattr(driver, "LOOK_EVERY_S", 0.1)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[LocalHosts]:
    """Two hosts with two phones each."""
    made = LocalHosts(tmp_path / "hosts", {name: [phone(f"{name}{n}") for n in (1, 2)] for name in ("a", "b")})
    yield made
    made.close()
