"""Blocks out of parts: a device whose blocks are known beforehand is measured, and they come out."""

import numpy as np
import pytest

from profilers.in_place.solve import Factors, Parts, blocks_ms, solve

BLOCKS, PARTS = 120, 90


def device(
    seed: int, spread: float, error: float, **factors: float
) -> tuple[Parts, np.ndarray, np.ndarray, np.ndarray]:
    """Parts of 2 to 9 blocks, what blocks take alone, their weights, and what they take in place."""
    rng = np.random.default_rng(seed)
    f = {"scale": 1.0, "weights": 0.0, "alone": 0.0, "borders": 0.0, "calls": 0.0, **factors}
    warm, weights = np.exp(rng.uniform(-2.5, 0, BLOCKS)), np.exp(rng.uniform(-4, 0.5, BLOCKS))
    block = f["scale"] * warm - f["alone"] + f["weights"] * weights + warm * rng.normal(0, spread, BLOCKS)
    holds = np.zeros((PARTS, BLOCKS))
    for row in holds:
        row[rng.choice(BLOCKS, rng.integers(2, 10), replace=False)] += 1
    cut = rng.uniform(0, 0.5, PARTS)
    took = (holds @ block + f["borders"] * cut + f["calls"]) * (1 + rng.normal(0, error, PARTS))
    return Parts(holds, cut, took, np.zeros(PARTS)), warm, weights, block


def test_blocks_of_a_device_without_noise_come_out_exactly() -> None:
    wanted = {"scale": 1.1, "weights": 0.04, "alone": 0.01, "borders": 0.3, "calls": 0.02}
    parts, warm, weights, block = device(0, 0, 0, **wanted)
    latency, factors = solve(parts, warm, weights)
    for name, value in wanted.items():
        assert getattr(factors, name) == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(latency, block, rtol=1e-6)


def test_sums_are_right_where_blocks_and_parts_are_off() -> None:
    off = []
    for seed in range(4):
        parts, warm, weights, block = device(seed, 0.06, 0.01, scale=1.05, weights=0.05)
        latency, factors = solve(parts, warm, weights)
        assert factors.block_spread in (0.03, 0.05, 0.08, 0.12)
        assert factors.part_error < 0.04
        alone = np.abs(warm / block - 1).mean()
        assert np.abs(latency / block - 1).mean() < 0.5 * alone
        chosen = np.random.default_rng(seed).integers(0, BLOCKS, (50, 20))
        off.append(latency[chosen].sum(axis=1) / block[chosen].sum(axis=1) - 1)
    assert abs(np.mean(off)) < 0.01
    assert np.abs(off).mean() < 0.02


def test_no_factor_is_negative_and_no_block_takes_nothing() -> None:
    # parts that get faster with every border, and a block that is said to take less than nothing
    parts, warm, weights, _ = device(4, 0.3, 0.03, borders=-0.4, calls=-0.01)
    latency, factors = solve(parts, warm, weights)
    assert min(factors.scale, factors.weights, factors.alone, factors.borders, factors.calls) >= 0
    assert (latency > 0).all()
    far = blocks_ms(parts, warm, weights, Factors(1, 0, 10.0, 0, 0, 0.3, 0.01))
    assert (far > 0).all()


def test_a_block_that_stands_in_no_part_has_what_all_have_in_common() -> None:
    parts, warm, weights, _ = device(5, 0.05, 0.005, scale=1.2, weights=0.1)
    without = parts.holds[:, 0] == 0
    parts = Parts(parts.holds[without], parts.cut_mb[without], parts.took_ms[without], parts.whole[without])
    latency, f = solve(parts, warm, weights)
    assert latency[0] == pytest.approx(f.scale * warm[0] + f.weights * weights[0] - f.alone)


def test_without_parts_there_is_nothing_to_solve() -> None:
    with pytest.raises(ValueError, match="no part"):
        solve(Parts(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0)), np.ones(3), np.ones(3))
