"""What a combination says, another way: all hypotheses written out one by one, and what a table says of its errors."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ofa.blocks import blocks_of_all
from ofa.blocks.terms import MORE_TERMS
from ofa.tables.uncertainty import student_quantile
from profilers.estimating.combination import REACHES, beforehand, calibration, combine, uncertainty
from profilers.estimating.combined import combined
from profilers.estimating.cost_model import more_terms_of
from profilers.estimating.sources import Source
from tests.profilers.estimating.made_up import BLOCKS, SPACE, networks_of, other_weights

Found = tuple[np.ndarray, np.ndarray, float]


def by_hand(sources: np.ndarray, terms: np.ndarray, latency: np.ndarray) -> tuple[Found, list[float]]:
    """Weights, covariance and noise, and how likely each source is alone: in terms x terms matrices, as the text says.

    With this error known, weights are normal about a centre, and so are the networks' relative latencies about 1.
    """
    relative, count = terms / latency[:, None], len(latency)
    scaled = [source * (relative @ source).sum() / ((relative @ source) ** 2).sum() for source in sources]
    mean, usual = np.mean(scaled, axis=0), terms.mean(axis=0)
    of_terms = np.array([latency.mean() / size if size else 0.0 for size in usual])
    differences = sum(np.outer(one - mean, one - mean) for one in scaled)
    evidence, of, found = [], [], []
    for number, centre in enumerate([mean, *scaled]):
        prior = 0.8 / len(scaled) if number else 0.2
        reaches = list(product((0.0,) if number else REACHES[0], REACHES[1], REACHES[2]))
        for between, own, each in reaches:
            spread = 1e3 * np.outer(centre, centre) + between * differences
            spread += np.diag(own * centre**2 + each * of_terms**2)
            among = np.eye(count) + relative @ spread @ relative.T
            gain = np.linalg.solve(among, relative @ spread).T
            off = 1 - relative @ centre
            squares = off @ np.linalg.solve(among, off) + 4 * 0.03**2
            found.append((centre + gain @ off, spread - gain @ relative @ spread, squares / (count + 4)))
            evidence.append(
                np.log(prior / len(reaches)) - np.linalg.slogdet(among)[1] / 2 - (count + 4) / 2 * np.log(squares)
            )
            of.append(number)
    likely = np.exp(np.array(evidence) - max(evidence))
    likely /= likely.sum()
    weights = sum(p * one for p, (one, _, _) in zip(likely, found, strict=True))
    covariance = sum(
        p * (variance * about + np.outer(one - weights, one - weights))
        for p, (one, about, variance) in zip(likely, found, strict=True)
    )
    noise = sum(p * variance for p, (_, _, variance) in zip(likely, found, strict=True)) ** 0.5
    return (weights, covariance, noise), [likely[np.array(of) == i].sum() for i in range(1, len(scaled) + 1)]


def noisy(terms: np.ndarray, seed: int = 1) -> np.ndarray:
    """What networks take on a device that is like no source, timed with an error."""
    return terms @ other_weights(9) * np.random.default_rng(seed).normal(1, 0.02, len(terms))


@pytest.mark.parametrize("networks", [9, 80])  # solved as few and as many
def test_a_combination_is_the_mean_of_all_hypotheses_written_out_one_by_one(networks: int) -> None:
    sources = np.stack([other_weights(seed) for seed in range(3)])
    terms = networks_of(networks + 100)
    latency = noisy(terms[:networks])
    nothing = np.zeros((1, terms.shape[1]))  # is not to cost anything: no weights are held
    found = combine(sources, terms[:networks], latency, nothing, related=True)
    (weights, covariance, noise), shares = by_hand(sources, terms[:networks], latency)
    rest = terms[networks:]
    assert found.latency_ms(rest) == pytest.approx(rest @ weights, rel=1e-6)
    assert found.noise == pytest.approx(noise, rel=1e-6)
    assert found.shares == pytest.approx(shares, abs=1e-6)
    sd = np.sqrt(np.einsum("ij,jk,ik->i", rest, covariance, rest) / (rest @ weights) ** 2 + noise**2)
    assert found.relative_sd(rest) == pytest.approx(sd, rel=1e-2)  # what is unlikely is left out


def test_beforehand_unknowns_reach_as_far_as_in_the_middle_of_all_hypotheses() -> None:
    terms = networks_of(300)
    sources = np.stack([other_weights(seed) for seed in range(3)])
    weights, covariance = beforehand(sources, terms)
    relative = terms / (terms @ sources[0])[:, None]
    scaled = [source * (relative @ source).sum() / ((relative @ source) ** 2).sum() for source in sources]
    mean, usual = np.mean(scaled, axis=0), terms.mean(axis=0)
    of_terms = np.array([(terms @ mean).mean() / size if size else 0.0 for size in usual])
    spread = 1e3 * np.outer(mean, mean) + np.diag(100 * mean**2 + 10 * of_terms**2)
    spread += 30 * sum(np.outer(one - mean, one - mean) for one in scaled)
    assert weights == pytest.approx(mean, rel=1e-9)
    for ours, expected in zip(covariance, 0.03**2 * spread, strict=True):
        assert ours == pytest.approx(expected, rel=1e-9)


def test_each_left_out_network_is_judged_by_its_own_standard_deviation() -> None:
    """Of 25, which are more than are left out singly: by what the networks of other folds say."""
    terms, chains = networks_of(25), blocks_of_all(SPACE, SPACE.sample(np.random.default_rng(5), 25))
    timed: Any = SimpleNamespace(blocks=chains, latency_ms=noisy(terms))
    weights = np.stack([other_weights(seed) for seed in range(2)])
    sources = [Source(str(i), one, np.ones(len(one), dtype=bool)) for i, one in enumerate(weights)]
    found = combined(timed, sources, [])
    priced = np.vstack(
        [more_terms_of(sorted({block for chain in chains for block in chain})), np.eye(len(MORE_TERMS))[-1:]]
    )
    for i in range(25):
        others = np.arange(25) % 10 != i % 10
        without = combine(weights, terms[others], timed.latency_ms[others], priced)
        predicted, measured = without.latency_ms(terms[i : i + 1])[0], timed.latency_ms[i]
        sd = without.relative_sd(terms[i : i + 1])[0]
        assert found.errors_pct[i] == pytest.approx(100 * (predicted / measured - 1), rel=1e-6)
        assert found.off[i] == pytest.approx((measured / predicted - 1) / sd, rel=1e-6)


@pytest.mark.parametrize("without", [[], ["operators"]])
def test_a_table_s_deviations_and_noise_are_together_a_combination_s_times_its_scale(
    without: list[str],
) -> None:
    terms = networks_of(25)
    sources = np.stack([other_weights(seed) for seed in range(3)])
    found = combine(sources, terms, noisy(terms), np.zeros((1, terms.shape[1])))
    off = np.random.default_rng(2).normal(0, 3, 25)
    known = uncertainty(found, off, terms, BLOCKS, without)
    scale, freedom = calibration(off)
    assert scale > 2
    there = np.array([name not in without for name in MORE_TERMS])
    told = replace(found, covariance=found.covariance * np.outer(there, there))
    of_directions = ((terms @ known.directions.T / found.latency_ms(terms)[:, None]) ** 2).sum(axis=1)
    expected = scale**2 * told.relative_sd(terms) ** 2
    assert of_directions.mean() + known.noise**2 == pytest.approx(expected.mean(), rel=1e-6)
    assert 0.5 < of_directions.mean() / (expected - (scale * found.noise) ** 2).mean() <= 1
    assert (np.abs(known.directions[:, ~there]) < 1e-12).all()
    assert len(known.directions) < len(MORE_TERMS)
    kept = sum(each <= scale * student_quantile(0.95, 25 + 4) for each in off)
    assert freedom == known.freedom == 29
    assert known.rests_on == f"of the 25 timed networks, each predicted from others, {kept} keep what 95 % says"
