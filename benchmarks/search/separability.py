"""How near a predictor that adds up over units can come to one that does not, and what a search with it loses.

    python benchmarks/search/separability.py --teacher acc_predictor.pth --parts floor fits search

floor: networks drawn uniformly have independent units. Then the nearest sum over units, in mean squares, is that of the
    conditional means, whatever it is fitted by. Its error is the variance that no unit explains alone, which needs no
    fit: pairs of networks that share one unit tell each unit's part (Sobol's estimator).
fits: the same reached by fitting, with more rows and wider unit networks, through a bend.
search: students that are also asked about what their own exact searches find, in rounds; what a search with them loses
    by the teacher's word, beside the predictor that is shipped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.fit.distilled import near_optimal, search_devices
from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.fit.optimism import near_frontiers
from ofa.predictors.prediction import Predictor
from ofa.predictors.separable.fitted import train_separable
from ofa.predictors.subnet_accuracies import SubnetAccuracies
from ofa.search.specialise import DeviceSearch
from ofa.space import Genes, get_space
from ofa.space.unit_choices import unit_choices
from ofa.tables import LatencyTable, find_table

FITS = ((16_000, 32, 60), (50_000, 64, 20), (200_000, 64, 8), (200_000, 128, 8))  # rows, hidden, epochs
RANDOM, OWN, ROUNDS = 40_000, 4000, 6
LIMITS_MS = (15.0, 20.0, 25.0, 30.0)  # on the Note10
Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--space", default="mbv3-w1.2")
    parser.add_argument("--parts", nargs="+", choices=("floor", "fits", "search"), default=["floor", "fits"])
    parser.add_argument("--networks", type=int, default=60_000, help="of the floor")
    parser.add_argument("--optima", type=int, default=4000, help="of the teacher, that students are asked about too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    teacher = AccuracyPredictor.load(arguments.teacher, get_space(arguments.space))
    if "floor" in arguments.parts:
        floor(teacher, arguments.networks, arguments.seed)
    if "fits" in arguments.parts:
        fits(teacher, arguments.seed)
    if "search" in arguments.parts:
        Students(teacher, arguments.seed).compare(arguments.optima)
    return 0


def rmse(one: Floats, other: Floats) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))


def floor(teacher: Predictor, n: int, seed: int) -> None:
    """Prints, for each resolution, the variance, each unit's part, and the error that no sum can go below."""
    space, rng = teacher.space, np.random.default_rng(seed)
    shipped = AccuracyPredictor.default(space)
    for r in teacher.resolutions:
        one, other = (space.sample(rng, n, resolutions=(r,)) for _ in range(2))
        said, before = teacher.top1(one), teacher.top1(other)
        parts = []
        for unit in unit_choices(space):
            mixed = other.copy()
            mixed[:, list(unit.columns)] = one[:, list(unit.columns)]
            parts.append(float(np.mean((said - said.mean()) * (teacher.top1(mixed) - before))))
        left = max(0.0, float(said.var()) - sum(parts))
        shown = " ".join(f"{part:.3f}" for part in parts)
        print(
            f"{r} px: variance {said.var():.3f}, of the units alone {shown}, left {left:.4f}: no sum over units has an "
            f"RMSE below {left**0.5:.3f} %; shipped: {rmse(said, shipped.top1(one)):.3f} %",
            flush=True,
        )


def fits(teacher: Predictor, seed: int) -> None:
    """Prints the error of separable fits on random networks that they did not see."""
    space, known = teacher.space, teacher.resolutions
    rows = space.sample(np.random.default_rng([seed, 1]), max(n for n, _, _ in FITS), resolutions=known)
    others = space.sample(np.random.default_rng([seed, 2]), 10_000, resolutions=known)
    top1, said = teacher.top1(rows), teacher.top1(others)
    for n, hidden, epochs in FITS:
        started = time.process_time()
        student = fitted(teacher, rows[:n], top1[:n], hidden, epochs, seed)
        seen = rmse(student.top1(rows[: min(n, 20_000)]), top1[: min(n, 20_000)])
        print(
            f"{n} random rows, {hidden} hidden: RMSE {seen:.3f} % on them, {rmse(student.top1(others), said):.3f} % on "
            f"others; {time.process_time() - started:.0f} s",
            flush=True,
        )


def fitted(teacher: Predictor, rows: Genes, top1: Floats, hidden: int, epochs: int, seed: int) -> Predictor:
    recipe = Recipe(1, (hidden,), epochs, batch_size=1024, learning_rate=1e-2, weight_decay=0.0, seed=seed)
    return train_separable(SubnetAccuracies(teacher.space, teacher.resolutions, rows, top1), recipe)


@dataclass
class Students:
    """What searches with students lose by the teacher's word."""

    teacher: Predictor
    seed: int
    rows: list[Genes] = field(default_factory=list)

    def compare(self, optima: int) -> None:
        space, known = self.teacher.space, self.teacher.resolutions
        rng = np.random.default_rng([self.seed, 3])
        self.best = self.teacher.top1(self._found(self.teacher))
        self.random = space.sample(rng, 10_000, resolutions=known)
        self.near = near_optimal(space, known, self.teacher.top1, 1000, rng)
        self._say("the shipped predictor", AccuracyPredictor.default(space))
        self.rows = [space.sample(rng, RANDOM, resolutions=known)]
        student = self._fit()
        self._say(f"{RANDOM} random rows", student)
        for _ in range(ROUNDS):
            self.rows.append(near_frontiers(student, OWN, rng))  # type: ignore[arg-type]
            student = self._fit()
        self._say(f"and {ROUNDS} times {OWN} of students' own frontiers", student)
        self.rows.append(near_optimal(space, known, self.teacher.top1, optima, rng))
        self._say(f"and {optima} of the teacher's optima", self._fit())

    def _fit(self) -> Predictor:
        rows = np.concatenate(self.rows)
        return fitted(self.teacher, rows, self.teacher.top1(rows), 48, 12, self.seed)

    def _found(self, judge: Predictor) -> Genes:
        """(64, genes): what evolutions by that predictor find on made-up devices, always the same ones."""
        rng = np.random.default_rng(self.seed + 1)
        return search_devices(judge.space, self.teacher.resolutions, judge.top1, 64, rng)[:, 0]

    def _say(self, words: str, student: Predictor) -> None:
        lost = self.best - self.teacher.top1(self._found(student))
        errors = [rmse(student.top1(g), self.teacher.top1(g)) for g in (self.random, self.near)]
        line = f"{words}: RMSE {errors[0]:.3f} % random, {errors[1]:.3f} % near the teacher's optima; searches lose "
        line += f"{lost.mean():.3f} % on average, {lost.max():.3f} at worst"
        if self.teacher.space.name == "mbv3-w1.2":
            table = LatencyTable.load(find_table("note10"))
            search = DeviceSearch("note10", table, student, student.space, self.teacher.resolutions)
            found, _ = search.run(LIMITS_MS, np.random.default_rng(self.seed))
            said = self.teacher.top1([one.subnet for one in found])
            line += f"; Note10 at {', '.join(f'{limit:g}' for limit in LIMITS_MS)} ms, by the teacher: "
            line += " ".join(f"{top1:.2f}" for top1 in said)
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
