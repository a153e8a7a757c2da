"""Searches that evolve are long so that they end high: tests of what they say need none of that."""

import pytest

from tests.helpers.short import short_searches


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    short_searches(monkeypatch)
