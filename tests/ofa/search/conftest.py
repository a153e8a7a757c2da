"""Searches that evolve are long so that they end high: tests of what they say need none of that."""

import pytest

from ofa.search.evolution import EvolutionSettings


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One island, fewer and smaller generations, and fewer of the equals that toy predictors have near the best."""
    short = EvolutionSettings(population=400, children=800, generations=12, exchange_rounds=4)
    monkeypatch.setattr("ofa.search.evolution.ISLANDS", 1)
    monkeypatch.setattr("ofa.search.evolution.EvolutionSettings", lambda: short)
    monkeypatch.setattr("ofa.search.polish._BEHIND", 0.01)
