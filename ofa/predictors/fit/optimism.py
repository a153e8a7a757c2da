"""How much too well a search's optimum is predicted, and what no residual shows of a source of accuracies.

A search ends where its predictor errs upwards. Two predictors are fitted on two halves of the data that share no
architecture; one is searched exactly, the other, which did not choose, judges what was found. What the first says
more is the optimism of a predictor of half the data. Of all the data it is about half of that: what a
fit takes from the scatter of its rows falls with their number.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import block_index
from ofa.blocks.costs import block_macs
from ofa.predictors.fit.ensemble_training import Recipe
from ofa.predictors.prediction import Predictor
from ofa.predictors.separable.fitted import train_separable
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies
from ofa.search.evolution import Problem, evolve
from ofa.search.exact.chain import UnitCosts, genes_of, make_chains
from ofa.search.exact.fronts import ChainFronts
from ofa.search.exact.search import ExactSearch
from ofa.search.polish import polish
from ofa.search.student import good_starts
from ofa.space import Genes

SPLITS = 5
_DEVICES, _LIMITS = 3, 4  # made up, and limits on each: optima of each resolution in each split
_MEMBERS = 4
_POINTS = 40  # of each resolution's frontier


def measure_optimism(
    data: SubnetAccuracies, recipe: Recipe, step: Callable[[float], None] = lambda _: None
) -> dict[str, float]:
    """Per cent, by pixels: mean of A's prediction less B's at A's optima, over splits into halves, both ways round."""
    differ, _ = optimism_by_parts(data, recipe, 2, 1, SPLITS, step)
    return {r: round(max(0.0, float(np.mean(values))), 4) for r, values in differ.items() if values}


def optimism_by_parts(
    data: SubnetAccuracies,
    recipe: Recipe,
    parts: int,
    chosen_by: int,
    splits: int = SPLITS,
    step: Callable[[float], None] = lambda _: None,
) -> tuple[dict[str, list[float]], int]:
    """What A says more than B at each of A's optima, per cent, by pixels; and of how many splits.

    parts: equal parts of the data that share no architecture; A is fitted on `chosen_by` of them, B on one other, and
        every part is a B once in each split
    """
    found: dict[str, list[float]] = {str(r): [] for r in data.known}
    used = 0
    for split in range(splits):
        cut = _Cut(data, _parts(data.genes, parts, split), _lighter(recipe))
        if not all(cut.is_whole(i) for i in range(parts)):
            continue
        used += 1
        for judge in range(parts):
            chooser = cut.fitted(*sorted((judge + 1 + i) % parts for i in range(chosen_by)))
            optima = made_up_optima(chooser, np.random.default_rng(split))
            differ = chooser.top1(optima) - cut.fitted(judge).top1(optima)
            for r in data.known:
                found[str(r)] += differ[optima[:, 0] == r].tolist()
            step((split + (judge + 1) / parts) / splits)
    return found, used


@dataclass(frozen=True, eq=False)
class _Cut:
    """Data in parts, (N,) which of them each row is in, and the predictors fitted on some of them."""

    data: SubnetAccuracies
    part: NDArray[np.intp]
    recipe: Recipe
    made: dict[tuple[int, ...], SeparablePredictor] = field(default_factory=dict)

    def is_whole(self, part: int) -> bool:
        """Whether a part has a row at every resolution."""
        return set(self.data.resolutions[self.part == part].tolist()) == set(self.data.known)

    def fitted(self, *parts: int) -> SeparablePredictor:
        if parts not in self.made:
            self.made[parts] = train_separable(self.data.where(np.isin(self.part, parts)), self.recipe)
        return self.made[parts]


def made_up_optima(predictor: SeparablePredictor, rng: np.random.Generator) -> Genes:
    """(N, genes): at every resolution the best within limits of devices whose every block costs its MACs times a
    random factor of its own."""
    space, known = predictor.space, predictor.resolutions
    index = block_index(space, known)
    macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
    sums = UnitCosts(index)
    scores = [predictor.unit_scores(r) for r in known]
    optima = []
    for _ in range(_DEVICES):
        costs = np.rint(macs * rng.lognormal(0.0, 0.5, size=len(macs))).astype(np.int64)
        for chain in make_chains(sums, costs[None], scores):
            whole = ChainFronts(chain).whole
            limits = np.geomspace(max(1, whole.cost[0]), max(2, whole.cost[-1]), _LIMITS + 2)[1:-1]
            at = np.searchsorted(whole.cost, limits, side="right") - 1
            numbers = ChainFronts(chain).networks(whole.cost[at], whole.score[at])
            optima.append(genes_of(space, [chain.resolution] * len(at), numbers))
    return np.concatenate(optima)


def near_frontiers(predictor: SeparablePredictor, n: int, rng: np.random.Generator) -> Genes:
    """(n, genes): different networks of the exact frontiers of made-up devices, of every resolution."""
    space, known = predictor.space, predictor.resolutions
    index = block_index(space, known)
    macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
    scores = [predictor.unit_scores(r) for r in known]
    found: dict[bytes, Genes] = {}
    while len(found) < n:
        costs = np.rint(macs * rng.lognormal(0.0, 0.5, size=len(macs))).astype(np.int64)
        search = ExactSearch(index, scores, costs[None])
        for row in rng.permutation(search.genes(search.points(_POINTS))):
            found.setdefault(row.tobytes(), row)
    return np.stack(list(found.values())[:n])


def source_sd(data: SubnetAccuracies, images: int | None) -> dict[str, float]:
    """Per cent, by pixels: of the level of accuracies that were all taken on one sample of the images.

    Such accuracies are multiples of 1 / n. They share what the sample is easier or harder than all images, which no
    residual shows. images: how many there are in all; None: many times as many
    """
    found = {}
    for r in data.known:
        top1 = data.top1[data.resolutions == r]
        n = sample_size(top1)
        if n is None or (images is not None and n >= images):
            continue
        p = float(np.clip(top1.mean() / 100, 0.001, 0.999))
        missing = 1.0 if images is None else 1 - n / images
        found[str(r)] = round(100 * math.sqrt(p * (1 - p) / n * missing), 4)
    return found


def sample_size(top1: NDArray[np.float64]) -> int | None:
    """The least n of which all accuracies, per cent to three decimals, are whole n-ths; None where it is not seen."""
    if len(top1) < 20:
        return None
    sizes = np.arange(50, 25_000)
    tolerance = sizes * 0.00051 / 100 + 1e-9
    for some in (top1[:20], top1):  # most sizes do not survive a few
        counts = some[:, None] * (sizes / 100)
        kept = np.abs(counts - np.rint(counts)).max(axis=0) <= tolerance
        sizes, tolerance = sizes[kept], tolerance[kept]
    return int(sizes[0]) if len(sizes) else None


def _lighter(recipe: Recipe) -> Recipe:
    values = {**vars(recipe), "members": min(_MEMBERS, recipe.members)}
    return Recipe(**values)


def _parts(genes: Genes, parts: int, key: int) -> NDArray[np.intp]:
    """(N,) which of so many parts each row is in, by a hash of its architecture without the resolution."""
    digests = (
        hashlib.blake2b(row[1:].astype(np.uint8).tobytes(), digest_size=8, key=f"half {key}".encode()).digest()
        for row in genes
    )
    return np.array([int.from_bytes(d, "big") % parts for d in digests])


def optimism_against(
    teacher: Callable[[Genes], NDArray[np.float64]], student: Predictor, seeds: Sequence[int]
) -> dict[str, Any]:
    """Per cent, by pixels: twice the mean of what a student says more than its teacher at the student's own optima.

    Twice, since half of the optimism is taken off (`Predictor.promised`): there is no half of the data here.
    """
    exact = isinstance(student, SeparablePredictor)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    optima = np.concatenate([made_up_optima(student, r) if exact else evolved_optima(student, r) for r in rngs])  # type: ignore[arg-type]
    differ = student.top1(optima) - teacher(optima)
    return {str(r): round(max(0.0, 2 * float(differ[optima[:, 0] == r].mean())), 4) for r in student.resolutions}


def evolved_optima(predictor: Predictor, rng: np.random.Generator) -> Genes:
    """(N, genes): at every resolution what a search finds within limits of one made-up device: of any predictor."""
    optima = []
    for r in predictor.resolutions:
        index = block_index(predictor.space, (r,))
        macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
        costs = np.rint(macs * rng.lognormal(0.0, 0.5, size=len(macs))).astype(np.int64)[None]
        problem = Problem(index, predictor.top1, costs.astype(np.float64))
        starts = good_starts(index, problem.score, costs, rng)
        taken = index.total(predictor.space.sample(rng, 1000, resolutions=(r,)), problem.costs[0])
        limits = np.quantile(taken, np.linspace(0, 1, _LIMITS + 2)[1:-1]).astype(np.int64)[:, None]
        found, _ = evolve(problem, limits.astype(np.float64), rng, starts=starts)
        for limit, best in zip(limits, found, strict=True):
            if best is not None:
                optima.append(polish(index, problem.score, costs, limit, best.genes[None])[0])
    return np.concatenate(optima)
