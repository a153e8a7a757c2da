"""The cost model: its terms by hand, fits that recover what made the data, errors that are really left out."""

import math

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from profilers.estimating.cost_model import (
    LEAST_FOR_TERMS,
    STRENGTHS,
    TERMS,
    choose_strength,
    cost_terms,
    even_prior,
    fit_blocks,
    fit_networks,
    network_terms,
    rescale,
    space_terms,
    suggest,
    table_terms,
)

SPACE = get_space("mbv3-w1.0")
TRUTH = np.array([5e-8, 7e-8, 3e-7, 2.5e-7, 2e-7, 1e-7, 3e-7, 1e-6, 4e-7, 2e-7, 3e-3])  # ms a unit, as a phone's


def named(block: Block) -> dict[str, float]:
    return {name: value for name, value in zip(TERMS, cost_terms(block), strict=True) if value}


def networks(count: int, seed: int = 0) -> np.ndarray:
    return space_terms(SPACE, SPACE.sample(np.random.default_rng(seed), count))


def test_terms_of_an_inverted_bottleneck_by_hand() -> None:
    # 4 x 4 x 8 -> 24 channels inside -> 2 x 2 x 16
    block = Block("mbconv", 4, 8, 24, 16, 5, 2, "h_swish", True, False)
    assert named(block) == {
        "pointwise": 16 * 8 * 24 + 4 * 24 * 16,
        "depthwise5": 4 * 24 * 25,
        "values": 16 * 8 + 2 * 16 * 24 + 2 * 4 * 24 + 4 * 16,
        "gated": 2 * 4 * 24,
        "swish": 16 * 24 + 4 * 24,
        "operators": 7,
    }


def test_terms_of_the_other_ops_by_hand() -> None:
    # no expansion where the inside is as wide as the input; the shortcut is one operator more
    first = Block("mbconv", 4, 16, 16, 16, 3, 1, "relu", False, True)
    assert named(first) == {"pointwise": 16 * 256, "depthwise3": 16 * 16 * 9, "values": 4 * 256, "operators": 3}
    stem = Block("conv", 4, 3, 0, 8, 3, 2, "h_swish", False, False)
    assert named(stem) == {"dense": 4 * 8 * 27, "values": 48 + 32, "swish": 32, "operators": 1}
    assert named(Block("linear", 1, 8, 0, 10, 1, 1, "none", False, False)) == {"weights": 80, "operators": 1}
    assert named(Block("global_pool", 7, 8, 0, 8, 1, 1, "none", False, False)) == {"pooled": 392, "operators": 1}


@pytest.mark.parametrize("space", ["mbv3-w1.0", "proxyless-w1.3", "resnet50d"])
def test_convolution_terms_add_up_to_the_macs(space: str) -> None:
    for block in all_blocks(get_space(space), [128]):
        inside_gates = 2 * block.mid_channels * block.se_channels
        counted = sum(cost_terms(block)[:5]) + cost_terms(block)[TERMS.index("weights")]
        assert counted == block_macs(block) - inside_gates


def test_networks_are_the_sums_of_their_blocks_in_any_mix_of_spaces() -> None:
    mixed = []
    for name in ("proxyless-w1.3", "mbv3-w1.0", "proxyless-w1.3"):
        space = get_space(name)
        mixed.append((name, space.decode(space.sample(np.random.default_rng(len(mixed)), 1))[0]))
    by_hand = [table_terms(blocks_of(get_space(name), subnet)).sum(axis=0) for name, subnet in mixed]
    assert np.allclose(network_terms(mixed), by_hand, rtol=1e-12)


def test_blocks_give_back_the_weights_that_made_them() -> None:
    terms = table_terms(all_blocks(SPACE))
    assert np.allclose(fit_blocks(terms, terms @ TRUTH), TRUTH, rtol=1e-6)


def test_no_weight_is_negative() -> None:
    terms = table_terms(all_blocks(SPACE))
    noisy = terms @ TRUTH * np.random.default_rng(0).uniform(0.2, 1.8, len(terms))
    assert (fit_blocks(terms, noisy) >= 0).all()


def test_one_factor_is_that_of_least_squared_relative_error() -> None:
    terms = np.eye(len(TERMS))[:2]
    prior = np.ones(len(TERMS))
    # predicted 1 and 1 ms against 2 and 4: ratios 1/2 and 1/4, (1/2 + 1/4) / (1/4 + 1/16) = 2.4
    assert np.allclose(rescale(prior, terms, np.array([2.0, 4.0]), math.inf), 2.4)


def test_held_factors_lie_between_one_factor_and_the_truth() -> None:
    terms = networks(200)
    target = TRUTH * np.array([1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 5])
    measured = terms @ target
    error = [
        np.abs(terms @ rescale(TRUTH, terms, measured, strength) / measured - 1).max()
        for strength in (math.inf, 1, 1e-9)
    ]
    assert error[0] > error[1] > error[2]
    assert error[2] < 1e-3
    assert np.allclose(rescale(TRUTH, terms, measured, 1e9), rescale(TRUTH, terms, measured, math.inf), rtol=1e-3)


def test_errors_are_of_networks_that_the_fit_did_not_see() -> None:
    terms = networks(2)
    predicted = terms @ TRUTH
    fit = fit_networks(TRUTH, terms, predicted * [2.0, 3.0])
    # the second alone gives the factor 3, the first 2
    assert fit.errors_pct == pytest.approx([50.0, -100 / 3])
    assert fit.strength == math.inf
    assert fit_networks(TRUTH, terms[:1], predicted[:1]).errors_pct.size == 0


def test_factors_are_freed_only_where_that_predicts_better() -> None:
    terms = networks(40)
    noise = np.random.default_rng(0).normal(1, 0.03, len(terms))
    assert choose_strength(TRUTH, terms, 3 * terms @ TRUTH * noise) == math.inf
    other = TRUTH * np.array([1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 5])
    assert choose_strength(TRUTH, terms, terms @ other) == STRENGTHS[-1]
    assert choose_strength(TRUTH, terms[:7], terms[:7] @ other) == math.inf


@pytest.mark.parametrize("count", [7, 8, 9])
def test_what_is_said_of_an_error_is_of_the_model_that_is_used(count: int) -> None:
    """Exactly eight have a factor a term, and so have seven of them that predict the eighth."""
    terms = networks(40)[:count]
    latency = terms @ (TRUTH * np.array([1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 5]))
    fit = fit_networks(TRUTH, terms, latency)
    assert math.isinf(fit.strength) == (count < LEAST_FOR_TERMS)
    single = [latency_off(terms, latency, np.arange(count) != i) for i in range(count)]
    if math.isinf(fit.strength):
        assert fit.errors_pct == pytest.approx(single)
    else:
        assert np.abs(fit.errors_pct).mean() < 0.5 * np.abs(single).mean()


def latency_off(terms: np.ndarray, latency: np.ndarray, kept: np.ndarray) -> float:
    """Per cent, of the network that is not kept, by one factor for all terms."""
    weights = rescale(TRUTH, terms[kept], latency[kept], math.inf)
    return float(100 * ((terms @ weights / latency)[~kept][0] - 1))


def test_an_even_prior_gives_every_term_the_same_share() -> None:
    terms = networks(10)
    shares = (terms * even_prior(terms)).sum(axis=0)
    assert np.allclose(shares, 1)
    assert even_prior(np.array([[2.0, 0.0]])).tolist() == [0.5, 0.0]


def test_a_prior_that_knows_nothing_of_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="gives some of the networks no latency"):
        fit_networks(np.zeros(len(TERMS)), networks(3), np.ones(3))


def test_suggested_networks_tell_more_than_random_ones() -> None:
    terms = networks(300)
    chosen = suggest(TRUTH, terms, 10)
    assert len(set(chosen)) == 10
    assert chosen[:4] == suggest(TRUTH, terms, 4)

    def information(rows: list[int]) -> float:
        shares = terms[rows] * TRUTH / (terms[rows] @ TRUTH)[:, None]
        return float(np.linalg.slogdet(shares.T @ shares + STRENGTHS[-2] * np.eye(len(TERMS)))[1])

    rng = np.random.default_rng(0)
    random = [information(rng.choice(300, 10, replace=False).tolist()) for _ in range(200)]
    assert information(chosen) > max(random)
