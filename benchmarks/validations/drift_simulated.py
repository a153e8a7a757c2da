"""What the rule for visits beside a drift gains and loses where the truth is known: a simulated device, both rules.

    python benchmarks/validations/drift_simulated.py

120 models of 0.2 to 3 ms are visited 12 times, in a random order, with a reference between every 20 visits. The machine
is quiet; drifts within a few visits; is slow by 30 % for 40 visits now and then; or slows every second model, by 8 % in
40 % of the time, as a program does that takes the memory's bandwidth: with a reference that is slowed too, and with one
that is not. Prints, for each, the mean absolute error of the models' latencies in per cent, their common factor taken
out, by the former rule and by today's (`profilers/measuring/judge.py`), and the visits made; means of `--seeds` seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring import judge
from profilers.measuring.events import Hello, Result
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import make_plan
from profilers.measuring.run import REPEATS
from profilers.measuring.statistics import summarise

MODELS, VISITS = 120, 12
MOST_VISITS = (REPEATS + 1) * 2 * MODELS * VISITS
Floats = NDArray[np.float64]
# how slow the machine is at a visit, for a model that is bound by memory, and for another
Machine = tuple[Floats, Floats]


def quiet(_: np.random.Generator) -> Machine:
    return np.ones(MOST_VISITS), np.ones(MOST_VISITS)


def drifting(rng: np.random.Generator) -> Machine:
    """By 4 % (standard deviation), forgotten after 15 visits; never more than 8 %."""
    keep, drift = np.exp(-1 / 15), np.zeros(MOST_VISITS)
    for i in range(1, MOST_VISITS):
        drift[i] = keep * drift[i - 1] + 0.04 * np.sqrt(1 - keep**2) * rng.standard_normal()
    slow = 1 + np.clip(drift, -0.08, 0.08)
    return slow, slow


def spells(rng: np.random.Generator) -> Machine:
    slow, begin = np.ones(MOST_VISITS), 60 + int(rng.integers(80))
    while begin < MOST_VISITS:
        slow[begin : begin + 40] = 1.3
        begin += 40 + int(rng.integers(80, 240))
    return slow, slow


def memory(rng: np.random.Generator) -> Machine:
    """Slow for 60 of every 150 visits, for every second model."""
    busy = (np.arange(MOST_VISITS) + rng.integers(150)) % 150 < 60
    return 1 + 0.08 * busy, np.ones(MOST_VISITS)


def error_pct(
    machine: Callable[[np.random.Generator], Machine], noise: float, seed: int, *, reference_is_slowed: bool
) -> tuple[float, int]:
    """Of the models' latencies, mean and absolute; and the visits that were made."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 3, MODELS)
    blocks = all_blocks(get_space("mbv3-w0.35"), [128, 160, 192, 224])[:MODELS]
    plan = make_plan([(block,) for block in blocks], VISITS, seed)
    by_memory = rng.permutation(np.arange(MODELS) % 2 == 0)
    if by_memory[number_of(plan.reference or "")] != reference_is_slowed:
        by_memory = ~by_memory
    slow = machine(rng)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(plan, Journal.create(Path(folder) / "journal", {}))
        ledger.greet(Hello("simulated", "none", {}))
        made = visit_all(ledger, truth, slow, by_memory, noise, rng, 0)
        for _ in range(REPEATS):
            if not (again := judge.lacking(ledger)):
                break
            ledger.begin_pass(again)
            made = visit_all(ledger, truth, slow, by_memory, noise, rng, made)
        outcome = judge.judge(ledger)
        ledger.journal.close()
    found = np.array([summarise(outcome.results[name]).latency_ms for name in plan.models]) / truth
    return float(100 * np.abs(found / np.median(found) - 1).mean()), made


def visit_all(
    ledger: Ledger,
    truth: Floats,
    slow: Machine,
    by_memory: NDArray[np.bool_],
    noise: float,
    rng: np.random.Generator,
    made: int,
) -> int:
    """Makes the visits of the last pass; how many were made so far."""
    for visit in ledger.pending(set()):
        i = number_of(visit.model)
        factor = slow[0 if by_memory[i] else 1][made] * (1 + noise * rng.standard_normal())
        nanoseconds = [round(1e6 * truth[i] * factor)] * 3
        ledger.credit(visit, Result(0, visit.model, nanoseconds, nanoseconds, 1))
        made += 1
    return made


def number_of(model: str) -> int:
    return int(model[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    args = parser.parse_args()
    cases = (
        ("quiet", quiet, 0.005, True),
        ("drifting", drifting, 0.03, True),
        ("slow spells", spells, 0.01, True),
        ("every second model slowed, and the reference", memory, 0.01, True),
        ("every second model slowed, not the reference", memory, 0.01, False),
    )
    today = judge.KNOWN_SLOWNESS
    for words, machine, noise, slowed in cases:
        told = []
        for limit in (-1.0, today):  # no slowness is below 0: all visits beside a drift are doubtful, as formerly
            judge.KNOWN_SLOWNESS = limit
            runs = [error_pct(machine, noise, seed, reference_is_slowed=slowed) for seed in range(args.seeds)]
            errors, visits = zip(*runs, strict=True)
            told.append(f"{np.mean(errors):5.2f} (sd {np.std(errors):4.2f}, {np.mean(visits):5.0f} visits)")
        print(f"{words:46} former {told[0]}   today {told[1]}", flush=True)


if __name__ == "__main__":
    main()
