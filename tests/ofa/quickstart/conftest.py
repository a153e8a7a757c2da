"""Photographs of a stranger, and a machine of a known speed."""

from pathlib import Path

import pytest

from ofa.quickstart import run
from ofa.quickstart.speed import Speed
from tests.helpers.photographs import write_classes

# of the machine on which this was tried
USUAL_SPEED = Speed(train_s=0.0045, forward_s=0.0012, decode_s=0.004, start_s=2.5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 40 below a folder with a space in its name."""
    root = tmp_path_factory.mktemp("stranger")
    write_classes(root, {"my photos": 40}, 3)
    return root / "my photos"


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure_speed", lambda *_: USUAL_SPEED)
