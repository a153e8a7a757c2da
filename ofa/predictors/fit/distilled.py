"""A predictor fitted on another one's predictions (distillation): which sub-networks to ask it about, and the report.

A predictor that a search will use must be right where the search ends, not only on random sub-networks. Searches
end differently on every device: here on made-up ones, whose every block costs its MACs times its own random
factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import block_index
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.predictors.fit.assessment import Train, assess, interpolation
from ofa.predictors.fit.ensemble_training import Recipe, train_ensemble
from ofa.predictors.fit.measured import Progress
from ofa.predictors.fit.optimism import near_frontiers
from ofa.predictors.fit.uncertainty import fit_uncertainty
from ofa.predictors.prediction import Predictor
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.predictors.subnet_accuracies import SubnetAccuracies, split
from ofa.space import Genes, SearchSpace

Score = Callable[[Genes], NDArray[np.float64]]  # (N, genes) -> (N,) per cent
_SHARES = (0.25, 0.25)  # of the questions to a teacher: random, near its optimum
_ROUNDS = 8  # of questions to a teacher
_OPTIMISM = 1.0


def fit_to_teacher(
    teacher: Predictor, samples: int, recipe: Recipe, step: Progress = lambda *_: None, train: Train = train_ensemble
) -> Predictor:
    """A predictor fitted on `samples` predictions of another.

    A quarter of the sub-networks asked about are random; a quarter are near the best that searches with the
    teacher find; the other half is asked in rounds, on what searches with the student so far find best, so that what
    a search would exploit is what it is corrected on. (Those judge by the members' mean plus their spread:
    where the student does not know, it asks.) The report compares with the teacher on other sub-networks, random
    and near its optimum, and by the outcome of searches. Choosing takes many more predictions of the teacher
    than are fitted on.
    """
    if samples < 400:
        raise InputError(f"samples is {samples}, expected at least 400")
    rng = np.random.default_rng(recipe.seed)
    asked, sources = _questions(teacher, samples, recipe, train, rng, step)
    known = len(asked.known)
    held = split(asked.genes)["calibration"]
    first = train(asked.where(~held), recipe, lambda share: step("uncertainty", share))
    aside = asked.where(held)
    uncertainty = fit_uncertainty(first.members(aside.genes), aside.top1, aside.groups, known)
    final = train(asked, recipe, lambda share: step("final", share))

    random, optimal = _examination(teacher, asked, max(200, samples // 8), rng)
    between = interpolation(asked, random, recipe, train, lambda share: step("interpolation", share))
    if between:
        uncertainty = replace(uncertainty, interpolation=max(row["added_rmse"] for row in between.values()))
    predictor = final.with_uncertainty(uncertainty)
    predictor.header["report"] = {
        "rows": sources,
        "test": {"random": assess(predictor, random), "near_optimal": assess(predictor, optimal)},
        "search": _loss_in_search(teacher, predictor, 64, recipe.seed),
        "interpolation": between,
    }
    predictor.header["recipe"] = asdict(recipe)
    return predictor


def _questions(
    teacher: Predictor, samples: int, recipe: Recipe, train: Train, rng: np.random.Generator, step: Progress
) -> tuple[SubnetAccuracies, dict[str, int]]:
    """What the teacher says of `samples` sub-networks, and how many were chosen in which way."""
    space, known = teacher.space, teacher.resolutions
    at_random, at_best = (int(samples * share) for share in _SHARES)
    asked = _answers(teacher, _different(space.sample(rng, at_random * 3 // 2, resolutions=known), (), at_random))
    searching = partial(step, "searching the teacher")
    best = near_optimal(space, known, teacher.top1, at_best * 9 // 8, rng, searching)
    asked = _joined(asked, _answers(teacher, _different(best, asked.genes, at_best)))
    draft = replace(recipe, members=min(3, recipe.members), epochs=max(1, recipe.epochs // 2))
    rounds = _ROUNDS if train is train_ensemble else max(1, _ROUNDS // 2)  # exact frontiers tell more
    for n in range(rounds):
        student = train(asked, draft, lambda share, n=n: step("asking", (n + share) / rounds))  # type: ignore[misc]

        def hopeful(genes: Genes, student: Predictor = student) -> NDArray[np.float64]:
            members = student.members(genes)
            upper: NDArray[np.float64] = members.mean(axis=0) + _OPTIMISM * members.std(axis=0)
            return upper

        count = (samples - len(asked.genes)) // (rounds - n)
        if isinstance(student, SeparablePredictor):
            found = near_frontiers(student, count * 9 // 8, rng)
        else:
            found = near_optimal(space, known, hopeful, count * 9 // 8, rng)
        asked = _joined(asked, _answers(teacher, _different(found, asked.genes, count)))
    sources = {
        "random": at_random,
        "near_optimal": at_best,
        "searched_with_student": samples - at_random - at_best,
    }
    return asked, sources


def _examination(
    teacher: Predictor, asked: SubnetAccuracies, rows: int, rng: np.random.Generator
) -> tuple[SubnetAccuracies, SubnetAccuracies]:
    """What the teacher says of others than those it was asked about: random ones, and ones near its optimum."""
    space, known = teacher.space, teacher.resolutions
    random = _answers(teacher, _different(space.sample(rng, 2 * rows, resolutions=known), asked.genes, rows))
    best = near_optimal(space, known, teacher.top1, rows * 5 // 4, rng)
    return random, _answers(teacher, _different(best, asked.genes, rows))


def _answers(teacher: Predictor, genes: Genes) -> SubnetAccuracies:
    """Sub-networks with what the teacher says of them."""
    return SubnetAccuracies(teacher.space, teacher.resolutions, genes, teacher.predict(genes).top1)


def _joined(first: SubnetAccuracies, second: SubnetAccuracies) -> SubnetAccuracies:
    """Both, of one space."""
    genes = np.concatenate([first.genes, second.genes])
    return SubnetAccuracies(first.space, first.known, genes, np.concatenate([first.top1, second.top1]))


def _different(genes: Genes, known: Sequence[NDArray[np.uint16]] | Genes, n: int) -> Genes:
    """The first n rows that are not in `known`, each once."""
    seen = {row.tobytes() for row in known}
    rows = {row.tobytes(): row for row in genes if row.tobytes() not in seen}
    if len(rows) < n:
        raise InputError(f"only {len(rows)} different sub-networks where {n} are needed: lower samples")
    return np.stack(list(rows.values())[:n])


def _loss_in_search(teacher: Predictor, student: Predictor, devices: int, seed: int) -> dict[str, Any]:
    """What the teacher thinks of the best by the student, against the best by the teacher, on the same devices."""
    best = [
        teacher.top1(
            search_devices(teacher.space, teacher.resolutions, judge.top1, devices, np.random.default_rng(seed + 1))[
                :, 0
            ]
        )
        for judge in (teacher, student)
    ]
    loss = best[0] - best[1]
    return {
        "devices": devices,
        "mean_loss": round(float(loss.mean()), 4),
        "worst_loss": round(float(loss.max()), 4),
    }


def near_optimal(
    space: SearchSpace,
    resolutions: Sequence[int],
    score: Score,
    n: int,
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _: None,
) -> Genes:
    """(n, genes): sub-networks near the best by `score` under limits of made-up devices, at those resolutions.

    Every device has a random limit and keeps the 20 best of 40 generations of mutation and crossover; several
    of them are taken, best first, so that n sub-networks come from about n / 4 devices.
    """
    found: dict[bytes, Genes] = {}
    while len(found) < n:
        best = search_devices(space, resolutions, score, min(256, (n - len(found)) // 4 + 16), rng)
        for row in best[:, :4].reshape(-1, space.num_genes):
            found.setdefault(row.tobytes(), row)
        progress(min(1.0, len(found) / n))
    return np.stack(list(found.values())[:n])


def search_devices(
    space: SearchSpace, resolutions: Sequence[int], score: Score, devices: int, rng: np.random.Generator
) -> Genes:
    """(devices, 20, genes): the best found for each device, best first; all devices evolve side by side.

    The same state of rng makes the same devices, whatever the score.
    """
    index = block_index(space, resolutions)
    macs = np.array([block_macs(block) for block in index.blocks], dtype=np.float64)
    costs = macs * rng.lognormal(0.0, 0.5, size=(devices, len(macs)))  # (devices, U)
    padded = np.pad(costs, ((0, 0), (0, 1)))  # what is skipped costs nothing
    keep, children = 20, 40
    seeds = space.sample(rng, 400, resolutions=resolutions)
    seed_scores = score(seeds)
    limits, pools, pool_scores = [], [], []
    for device in range(devices):
        seed_costs = index.total(seeds, costs[device])
        limit = np.exp(rng.uniform(np.log(np.quantile(seed_costs, 0.05)), np.log(seed_costs.max())))
        fits = np.flatnonzero(seed_costs <= limit)
        best = fits[np.argsort(-seed_scores[fits], kind="stable")][:keep]
        best = np.resize(best, keep)  # repeats where few fit
        limits.append(limit)
        pools.append(seeds[best])
        pool_scores.append(seed_scores[best])
    pool: Genes = np.stack(pools)  # (devices, keep, genes)
    scores = np.stack(pool_scores)  # (devices, keep)
    for _ in range(40):
        parents = pool[:, rng.integers(0, keep, size=2 * children)].reshape(-1, space.num_genes)
        parents = parents.reshape(devices, 2 * children, -1)
        half = children // 2
        mutated = space.mutate(parents[:, :half].reshape(-1, space.num_genes), rng, resolutions=resolutions)
        crossed = space.crossover(
            parents[:, half:children].reshape(-1, space.num_genes),
            parents[:, children : children + half].reshape(-1, space.num_genes),
            rng,
        )
        fresh = np.concatenate(
            [mutated.reshape(devices, half, -1), crossed.reshape(devices, half, -1)], axis=1
        )  # (devices, children, genes)
        fresh_scores = score(fresh.reshape(-1, space.num_genes)).reshape(devices, children)
        blocks = index.block_numbers(fresh.reshape(-1, space.num_genes)).reshape(devices, -1)
        total = np.take_along_axis(padded, blocks, axis=1).reshape(devices, children, -1).sum(axis=2)
        fresh_scores[total > np.array(limits)[:, None]] = -np.inf
        everyone = np.concatenate([pool, fresh], axis=1)
        value = np.where(_firsts(everyone), np.concatenate([scores, fresh_scores], axis=1), -np.inf)
        best = np.argsort(-value, axis=1, kind="stable")[:, :keep]
        best = np.where(np.isfinite(np.take_along_axis(value, best, axis=1)), best, best[:, :1])
        pool, scores = np.take_along_axis(everyone, best[..., None], axis=1), np.take_along_axis(value, best, axis=1)
    return pool


def _firsts(genes: Genes) -> NDArray[np.bool_]:
    """(D, N) whether a row of (D, N, genes) is the first of its kind in its group."""
    groups, rows, width = genes.shape
    named = np.empty((groups, rows, width + 1), dtype=genes.dtype)
    named[..., 0], named[..., 1:] = np.arange(groups)[:, None], genes
    # as bytes: compared field by field, rows are sorted ten times as slowly
    _, first = np.unique(named.view(np.dtype((np.void, named.itemsize * (width + 1)))), return_index=True)
    found = np.zeros(groups * rows, dtype=np.bool_)
    found[first] = True
    return found.reshape(groups, rows)
