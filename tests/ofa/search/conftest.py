"""Searches that evolve are long so that they end high: tests of what they say need none of that."""

import pytest


@pytest.fixture(autouse=True)
def _one_island(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa.search.evolution.ISLANDS", 1)
