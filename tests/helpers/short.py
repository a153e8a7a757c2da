"""Work that is long so that its figures are good, made short: for tests of what is done with the figures.

How good they are is seen elsewhere: tests/ofa/search, tests/ofa/predictors/test_separable.py, benchmarks/.
"""

from __future__ import annotations

import pytest

from ofa.predictors.fit import optimism
from ofa.search.evolution import EvolutionSettings
from profilers.measuring.pace import CPU_PACE
from tests.helpers.machines import plant_machine


def short_searches(patched: pytest.MonkeyPatch) -> None:
    """One island, fewer and smaller generations, which start from an imitation that asks for less, and fewer of the
    equals that toy predictors have near the best.
    """
    short = EvolutionSettings(population=400, children=800, generations=12, exchange_rounds=4)
    patched.setattr("ofa.search.evolution.ISLANDS", 1)
    patched.setattr("ofa.search.evolution.EvolutionSettings", lambda: short)
    patched.setattr("ofa.search.student.QUESTIONS", 500)
    patched.setattr("ofa.search.polish._BEHIND", 0.01)


def one_split(patched: pytest.MonkeyPatch) -> None:
    """One split into halves for a fit's optimism, of five."""
    patched.setattr(optimism, "SPLITS", 1)


def undoubted_visits(patched: pytest.MonkeyPatch) -> None:
    """No visit is made again because the machine was busy: another agent would start for that, twice in a run."""
    patched.setattr("profilers.measuring.judge.DRIFT_THRESHOLD", 1e9)
    patched.setattr("profilers.measuring.judge.disturbed_throughout", lambda _: False)


def hasty_visits(patched: pytest.MonkeyPatch) -> None:
    """Few samples on this machine's CPU, whose times are those of a planted quiet one."""
    plant_machine(patched, "quiet")
    assert CPU_PACE.in_place is not None
    for rules in (CPU_PACE.whole, CPU_PACE.in_place.blocks, CPU_PACE.in_place.parts, CPU_PACE.quick):
        for rule, value in (("warmup_seconds", 0.0), ("min_runs", 3), ("max_seconds", 0.0)):
            patched.setitem(rules, rule, value)
