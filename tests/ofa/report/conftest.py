"""A search without limits, and a verification of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.report_runs import searched, verified


@pytest.fixture(scope="session")
def frontier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search without limits, with the whole frontier beside its result."""
    return searched(tmp_path_factory.mktemp("frontier") / "run")


@pytest.fixture(scope="session")
def checked(frontier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a verification of its last three networks."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "result.json").write_bytes((frontier / "result.json").read_bytes())
    verified(folder / "result.json")
    return folder
