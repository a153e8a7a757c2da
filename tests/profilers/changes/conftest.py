"""A configuration of one table, the table, and the command that measures it again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from profilers.changes.regeneration import Regeneration
from profilers.regenerate import main
from tests.profilers.changes.regenerated import ENTRY, Device, table


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(Regeneration, "_profile", lambda *args: made.profile(*args))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration of one table, and the table."""
    (tmp_path / "tables.toml").write_text(ENTRY.format(file="t.csv"))
    table(100, {}, 1.0).save(tmp_path / "t.csv")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., tuple[int, str]]:
    def regenerated(*more: str) -> tuple[int, str]:
        code = main(["--config", str(folder / "tables.toml"), "--out", str(folder / "out"), *more])
        return code, (folder / "out" / "report.md").read_text()

    return regenerated
