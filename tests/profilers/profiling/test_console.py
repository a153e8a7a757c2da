"""How far a measurement is, in words."""

import pytest

from profilers.profiling import console


def test_the_time_that_is_left_is_told_by_visits_and_not_by_what_comes_before_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models are loaded before the first visit: it seemed that each of a thousand visits takes as long."""
    now = 1000.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    progress = console._ProgressLines()
    progress(40, 1040)  # as a resumed journal has
    now += 200  # writing and loading
    for made in range(41, 141):
        progress(made, 1040)
        now += 0.5
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "measured 42 of 1040 visits, about 499 s left",
        "measured 72 of 1040 visits, about 484 s left",
        "measured 102 of 1040 visits, about 469 s left",
        "measured 132 of 1040 visits, about 454 s left",
    ]
