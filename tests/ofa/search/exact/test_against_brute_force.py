"""The exact search against every network of 200 small spaces, listed one by one."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import numpy as np
import pytest

from ofa.search.exact import limits as limits_module
from ofa.search.exact.bounds import good_prices, priced
from ofa.search.exact.fronts import ChainFronts, front
from ofa.search.exact.limits import TooMany, all_within, best_within
from tests.ofa.search.exact.spaces import random_case, within

SEEDS = 100  # spaces with plain sums, and as many others with corrected ones


def seeds(corrected: bool) -> range:
    return range(SEEDS, 2 * SEEDS) if corrected else range(SEEDS)


@pytest.mark.parametrize("corrected", [False, True])
def test_fronts_are_the_fronts_of_every_network(corrected: bool) -> None:
    for seed in seeds(corrected):
        case = random_case(seed, corrected)
        for chain in case.chains:
            here = within(case.networks, np.array([np.iinfo(np.int64).max]))
            rows = here.resolution == chain.resolution
            cost, score = here.costs[rows, 0], here.score[rows]
            fronts = ChainFronts(chain)
            # by definition: a point stays where no other costs at most as much and scores as high, and differs
            best = [(c, score[cost <= c].max()) for c in np.unique(cost)]
            expected = [p for i, p in enumerate(best) if i == 0 or p[1] > best[i - 1][1]]
            assert list(zip(fronts.whole.cost.tolist(), fronts.whole.score.tolist(), strict=True)) == expected
            numbers = fronts.networks(fronts.whole.cost, fronts.whole.score)
            for (c, s), number in zip(expected, numbers.tolist(), strict=True):
                ties = here.numbers[rows][(cost == c) & (score == s)]
                assert number == min(ties.tolist(), key=lambda row: row[::-1]), seed


@pytest.mark.parametrize("corrected", [False, True])
def test_the_best_within_a_limit_is_the_best_of_all(corrected: bool) -> None:
    for seed in seeds(corrected):
        case = random_case(seed, corrected)
        limits = np.quantile(case.networks.costs[:, 0], np.linspace(0, 1, 9)).astype(np.int64)
        limits = np.concatenate([[case.networks.costs[:, 0].min() - 1], limits])
        for chain in case.chains:
            rows = case.networks.resolution == chain.resolution
            cost, score = ChainFronts(chain).best(limits)
            for limit, c, s in zip(limits.tolist(), cost.tolist(), score.tolist(), strict=True):
                fits = rows & (case.networks.costs[:, 0] <= limit)
                if not fits.any():
                    assert s == np.iinfo(np.int64).min
                    continue
                assert s == case.networks.score[fits].max()
                assert c == case.networks.costs[fits & (case.networks.score == s), 0].min()


@pytest.mark.parametrize(("corrected", "extra"), [(False, 1), (True, 1), (False, 3), (True, 2)])
def test_the_best_within_several_limits_is_the_best_of_all(corrected: bool, extra: int) -> None:
    for seed in seeds(corrected)[(extra // 2) % 2 :: 2]:
        case = random_case(seed, corrected, extra)
        rng = np.random.default_rng(seed)
        for _ in range(2):
            limits = np.array([np.quantile(column, rng.uniform(0, 1)) for column in case.networks.costs.T]).astype(
                np.int64
            )
            expected = within(case.networks, limits).ranked(1)
            found = best_within(case.chains, limits)
            assert len(found) == len(expected), seed
            for name in ("score", "costs", "resolution", "numbers"):
                assert np.array_equal(getattr(found, name), getattr(expected, name)), (seed, name)


def test_everything_above_a_threshold_is_found() -> None:
    for seed in range(SEEDS // 2):
        case = random_case(seed, True, 1)
        limits = np.quantile(case.networks.costs, 0.4, axis=0).astype(np.int64)
        threshold = int(np.quantile(case.networks.score, 0.7))
        for chain in case.chains:
            everything = within(case.networks, limits)
            rows = (everything.resolution == chain.resolution) & (everything.score >= threshold)
            found = all_within(chain, limits, threshold)
            assert sorted(map(tuple, found.numbers.tolist())) == sorted(map(tuple, everything.numbers[rows].tolist()))


def test_beginnings_that_are_looked_at_few_at_a_time_are_the_same_and_as_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(limits_module, "_look_at", looked.append)
    in_parts = 0
    for seed, most in product(range(40), (30, 100, 300)):
        case = random_case(seed, True, 1)
        limits = np.quantile(case.networks.costs, 0.6, axis=0).astype(np.int64)
        for chain in case.chains:
            whole = all_within(chain, limits, 0)
            pairs, times = sum(looked), len(looked)
            looked.clear()
            with monkeypatch.context() as patched, suppress(TooMany):
                patched.setattr(limits_module, "MOST_LABELS", most)
                found = all_within(chain, limits, 0)
                assert np.array_equal(found.ranked().numbers, whole.ranked().numbers)
                assert sum(looked) == pairs
                in_parts += len(looked) > times
            looked.clear()
    assert in_parts > 5


def test_a_bound_is_one_at_any_prices() -> None:
    for seed in range(20):
        case = random_case(seed, True, 2)
        limits = np.quantile(case.networks.costs, 0.3, axis=0).astype(np.int64)
        rng = np.random.default_rng(seed)
        for chain in case.chains:
            there = within(case.networks, limits)
            score = there.score[there.resolution == chain.resolution]
            bounds = [priced(chain, limits, rng.exponential(1e-2, 3)).bound for _ in range(5)]
            bounds += [p.bound for p in good_prices(chain, limits)[0]]
            assert not len(score) or min(bounds) >= score.max() - 0.5


def test_a_front_keeps_pairs_that_do_not_fit_one_number() -> None:
    cost = np.array([5, 1 << 61, 3, 3])
    score = np.array([7, 1 << 40, 9, 2])
    kept = front(cost, score)
    assert kept.cost.tolist() == [3, 1 << 61]
    assert kept.score.tolist() == [9, 1 << 40]


def test_the_frontier_and_the_best_of_all_resolutions() -> None:
    for seed in range(SEEDS // 2):
        case = random_case(seed, seed % 2 == 0, 1)
        search = case.search()
        everything = case.networks
        found = search.frontier()
        limits = found.costs[:, 0]
        answers = search.best(limits)
        for i, limit in enumerate(limits.tolist()):
            (expected,) = [within(everything, np.array([limit, 1 << 62])).ranked(1)]
            assert found.score[i] == expected.score[0]
            assert np.array_equal(found.costs[i], expected.costs[0])
            assert np.array_equal(search.genes(found)[i], search.genes(expected)[0])
            answer = answers[i]
            assert answer is not None
            assert np.array_equal(answer.genes, search.genes(expected))
            assert (answer.score, answer.bound) == (expected.score[0], expected.score[0])
        assert search.best(limits[:1] - 1) == [None]


def test_the_best_that_differ_are_those_of_all_networks() -> None:
    for seed in range(6):
        case = random_case(seed, True, 1)
        search = case.search()
        limits = np.quantile(case.networks.costs, 0.5, axis=0).astype(np.int64)
        for differ in (1, 3):
            found = search.different(limits, 4, differ)
            expected = greedy(case, limits, 4, differ)
            assert [a.score for a in found] == [score for score, _ in expected]
            assert [a.genes[0].tolist() for a in found] == [row for _, row in expected]


def greedy(case, limits: np.ndarray, count: int, differ: int) -> list[tuple[int, list[int]]]:
    """One after the other by definition: choices are read off decoded sub-networks, where skipped layers are 0."""
    there = within(case.networks, limits).ranked()
    genes = case.search().genes(there)
    subnets = case.space.decode(genes)
    values = np.array(
        [(s.resolution, *s.depths, *s.kernel_sizes, *s.expand_ratios, *s.width_mults) for s in subnets]
    ).reshape(len(subnets), -1)
    taken: list[int] = []
    for i in range(len(subnets)):
        if len(taken) < count and all((values[i] != values[j]).sum() >= differ for j in taken):
            taken.append(i)
    return [(int(there.score[i]), genes[i].tolist()) for i in taken]


def test_what_is_near_the_best_is_all_that_is() -> None:
    for seed in range(10):
        case = random_case(seed, False, 1)
        search = case.search()
        limits = np.quantile(case.networks.costs, 0.6, axis=0).astype(np.int64)
        there = within(case.networks, limits).ranked()
        behind = int(there.score[0] - np.quantile(there.score, 0.8))
        expected = there.ranked(int((there.score >= there.score[0] - behind).sum()))
        assert np.array_equal(search.near(limits, behind, 10**6).numbers, expected.numbers)
        assert np.array_equal(search.near(limits, behind, 3).numbers, expected.numbers[:3])


def test_only_allowed_choices_are_chosen() -> None:
    for seed in range(20):
        case = random_case(seed, True)
        rng = np.random.default_rng(seed)
        allowed = [rng.random(len(items.number)) < 0.5 for items in case.chains[0].units]
        kept = np.ones(len(case.networks), dtype=bool)
        for u, mask in enumerate(allowed):
            kept &= mask[case.networks.numbers[:, u]]
        there = case.networks.only(np.flatnonzero(kept)).ranked(1)
        found = case.search(allowed).best(np.array([1 << 60]))[0] if len(there) else None
        assert (found is None) == (len(there) == 0)
        assert found is None or np.array_equal(found.genes, case.search().genes(there))
