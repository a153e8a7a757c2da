"""Weights from several sources and a few networks: the hypotheses, what networks say alone, which weights are held."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from ofa.blocks.terms import MORE_TERMS
from ofa.errors import InputError
from ofa.published.networks import PUBLISHED
from ofa.tables import LatencyTable
from ofa.tables.network_times import write_networks
from profilers.estimating.combination import _mixed, _share_of_own, combine
from profilers.estimating.combined import _rests_on, combined
from profilers.estimating.cost_model import LEAST_FOR_TERMS, held, more_terms_of, terms_of_networks
from profilers.estimating.hypotheses import (
    Hypotheses,
    _by_networks,
    _by_unknowns,
    around,
    left_out_errors,
    likely_of,
)
from profilers.estimating.sources import open_sources
from profilers.estimating.timed_networks import read_timed
from profilers.transfer import main
from tests.profilers.estimating.made_up import BLOCKS, SPACE, networks_of, other_weights

TABLES = Path(__file__).resolve().parents[3] / "latency_tables"


def test_a_mixture_of_sources_is_found_from_ten_networks_and_a_single_one_is_kept() -> None:
    sources = np.stack([other_weights(seed) for seed in range(4)])
    terms = networks_of(310)
    priced = more_terms_of(BLOCKS)
    mixed = 0.7 * sources[1] + 2.1 * sources[3]
    mixed[-1] = 3.0
    found = combine(sources, terms[:10], terms[:10] @ mixed, priced)
    assert 100 * np.abs(found.latency_ms(terms[10:]) / (terms[10:] @ mixed) - 1).mean() < 1.5
    alone = combine(sources, terms[:5], 3 * terms[:5] @ sources[2], priced)
    assert np.abs(alone.latency_ms(terms[10:]) / (3 * terms[10:] @ sources[2]) - 1).max() < 0.005
    assert alone.shares.argmax() == 2


def test_networks_far_from_the_timed_are_less_sure() -> None:
    sources = np.stack([other_weights(seed) for seed in range(4)])
    terms = networks_of(300)
    noisy = terms[:20] @ other_weights(9) * np.random.default_rng(1).normal(1, 0.02, 20)
    found = combine(sources, terms[:20], noisy, more_terms_of(BLOCKS))
    far = terms_of_networks([PUBLISHED["resnet50"].blocks(320)])
    assert found.relative_sd(far)[0] > 2 * np.median(found.relative_sd(terms[20:]))
    # and what it says of itself is so: errors of further networks in terms of their standard deviation
    off = (found.latency_ms(terms[20:]) / (terms[20:] @ other_weights(9)) - 1) / found.relative_sd(terms[20:])
    assert np.abs(off).max() < 3


def test_few_and_many_networks_are_solved_alike() -> None:
    rng = np.random.default_rng(0)
    sizes, features, residual = [1, 3, 4], rng.normal(size=(9, 8)), rng.normal(size=9)
    variances = np.repeat(rng.uniform(0, 50, (20, 3)), sizes, axis=1)
    few, many = _by_networks(features, variances, residual, sizes), _by_unknowns(features, variances, residual)
    for name in ("found", "log_determinant", "squares"):
        assert np.allclose(getattr(few, name), getattr(many, name))
    for h in (0, 19):
        one = np.eye(20)[h]
        assert np.allclose(few.covariance_of(one), many.covariance_of(one))
        assert np.allclose(few.covariance_of(one), np.linalg.inv(np.diag(1 / variances[h]) + features.T @ features))
        for ours, theirs in zip(few.pulled_of(np.array([h])), many.pulled_of(np.array([h])), strict=True):
            assert ours.shape == (1, 9)
            assert np.allclose(ours, theirs)
    some = rng.uniform(0, 1, 20) * (np.arange(20) % 3 > 0)
    assert np.allclose(few.covariance_of(some), many.covariance_of(some))


@pytest.mark.parametrize("networks", [9, 30])  # solved as few and as many
def test_errors_of_networks_that_a_family_had_not_seen_are_those_of_fits_without_them(networks: int) -> None:
    rng = np.random.default_rng(networks)
    relative, centres = rng.uniform(0.1, 1, (networks, 4)) / 2, rng.uniform(0.5, 1, (3, 4))
    relative[4] *= 1.5  # one that hypotheses disagree on

    def family(rows: np.ndarray) -> list[Hypotheses]:
        groups = [np.diag(centres[0]), rng_ways]
        return [
            around(c, groups, [(0.0, 1.0, 1e3), (0.0, 50.0)], relative[rows], p)
            for c, p in zip(centres, (0.2, 0.5, 0.3), strict=True)
        ]

    rng_ways, every = rng.normal(size=(4, 9)), np.arange(networks)
    whole = family(every)
    found = left_out_errors(whole)
    for i in every:
        others = family(np.delete(every, i))
        weights = sum(p @ h.weights for p, h in zip(likely_of(others), others, strict=True))
        assert found[i] == pytest.approx(relative[i] @ weights - 1, rel=1e-6, abs=1e-9)


def test_weights_that_are_held_are_the_nearest_that_price_every_block() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(5, 5))
    covariance, weights = root @ root.T, np.array([1.0, -2.0, 0.5, -1.0, 2.0])
    priced, least = rng.uniform(0, 1, (400, 5)), np.full(400, 0.05)
    found = held(weights, covariance, priced, least)
    assert (priced @ found >= least - 1e-5).all()
    inverse = np.linalg.inv(covariance)
    best = minimize(
        lambda w: (w - weights) @ inverse @ (w - weights), np.ones(5), method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: priced @ w - least}, options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert np.allclose(found, best.x, atol=1e-3)
    assert np.array_equal(held(np.ones(5), covariance, priced, least), np.ones(5))


# ---- what networks say alone


def test_the_networks_alone_count_as_far_as_their_left_out_errors_are_less() -> None:
    related = np.array([0.05, -0.04, 0.06, -0.05, 0.04, -0.06, 0.05, -0.05, 0.04, -0.04])
    assert _share_of_own(related, 0 * related) == 1.0
    assert _share_of_own(related, related) == 0.0
    assert _share_of_own(related, 2 * related) == 0.0
    # errors as large, and independent of the others: the mean of both has fewer, and the least of ten shares is below
    other = 0.05 * np.array([1, 1, 1, 1, 1, -1, -1, -1, -1, -1])
    assert 0.4 < _share_of_own(related, other) < 0.5
    # one network that only the networks alone predict well is not enough, nor is a gain of a few per cent
    single = np.array([0.3, *[0.01] * 9])
    assert _share_of_own(single, np.array([0.0, *[0.05, -0.05] * 4, 0.05])) == 0.0
    assert _share_of_own(related, 0.96 * related) == 0.0
    assert _share_of_own(related, 0.94 * related) == 1.0


def test_of_terms_that_no_timed_network_has_only_sources_tell() -> None:
    root = np.random.default_rng(0).normal(size=(2, 3, 3))
    found = (np.array([1.0, 2.0, 3.0]), root[0] @ root[0].T, 0.04)
    alone = (np.array([2.0, 4.0, 0.0]), root[1] @ root[1].T, 0.01)
    seen = np.array([True, True, False])
    weights, covariance, noise = _mixed(found, alone, 0.25, seen)
    assert weights.tolist() == [1.25, 2.5, 3.0]
    assert noise == pytest.approx(0.0325)
    # two independent estimates, and what lies between them; of the unseen term nothing changes
    between = np.outer([1.0, 2.0], [1.0, 2.0]) * 0.25 * 0.75
    assert np.allclose(covariance[:2, :2], 0.75**2 * found[1][:2, :2] + 0.25**2 * alone[1][:2, :2] + between)
    assert np.allclose(covariance[:2, 2], 0.75 * found[1][:2, 2])
    assert covariance[2, 2] == pytest.approx(found[1][2, 2])
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert all(np.array_equal(a, b) for a, b in zip(_mixed(found, alone, 0.0, seen)[:2], found[:2], strict=True))


def test_a_device_like_no_other_is_told_by_its_own_networks() -> None:
    """The VCK190, whose networks have squeeze-and-excites that no source prices alike: 6.5 % by sources alone."""
    lists = TABLES / "networks" / "dpus.csv"
    timed = read_timed(lists, "vck190_ms")
    terms, latency = terms_of_networks(timed.blocks), timed.latency_ms
    sources = np.stack([source.weights_ms for source in open_sources(["all"], lists, "vck190_ms")])
    none = np.zeros((0, terms.shape[1]))
    errors, shares = [], []
    for draw in range(20):
        rows = np.random.default_rng((2, draw)).choice(len(terms), 10, replace=False)
        rest = np.setdiff1d(np.arange(len(terms)), rows)
        both = [combine(sources, terms[rows], latency[rows], none, related=related) for related in (False, True)]
        errors.append([100 * np.abs(of.latency_ms(terms[rest]) / latency[rest] - 1).mean() for of in both])
        shares.append([of.own for of in both])
        assert combine(sources, terms[rows[:7]], latency[rows[:7]], none).own == 0
        blind = MORE_TERMS.index("depthwise7")  # which no network has
        assert both[0].weights_ms[blind] == both[1].weights_ms[blind]
    ours, by_sources = np.mean(errors, axis=0)
    assert ours < 5.3 < 5.8 < by_sources
    assert (np.array(shares)[:, 1] == 0).all()
    assert np.mean(shares, axis=0)[0] > 0.4
    assert LEAST_FOR_TERMS == 8


@pytest.mark.parametrize("count", [8, 9, 10])
def test_networks_count_alone_in_a_table_only_where_they_do_in_what_its_error_is_of(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight, the seven that are left may not; of nine, eight may."""
    lists = TABLES / "networks" / "dpus.csv"
    timed = read_timed(lists, "vck190_ms")
    rows = np.random.default_rng((2, 0)).choice(len(timed.blocks), count, replace=False)
    some = replace(timed, blocks=[timed.blocks[i] for i in rows], latency_ms=timed.latency_ms[rows])
    asked: list[int] = []

    def share(related: np.ndarray, _own: np.ndarray) -> float:
        asked.append(len(related))
        return 0.5

    monkeypatch.setattr("profilers.estimating.combination._share_of_own", share)
    found = combined(some, open_sources(["note10", "xeon-vm-onnxruntime"], lists, "vck190_ms"), [])
    assert asked == ([] if count == 8 else [*[count - 1] * count, count])
    assert found.combination.own == (0.0 if count == 8 else 0.5)


def test_phones_are_told_by_other_phones() -> None:
    lists = TABLES / "networks" / "phone-cnns.csv"
    timed = read_timed(lists, "pixel4_1large_float_ms")
    terms = terms_of_networks(timed.blocks)
    sources = [s for s in open_sources(["all"], lists, "pixel4_1large_float_ms") if "cnns:pixel4" not in s.name]
    weights, shares = np.stack([source.weights_ms for source in sources]), []
    for draw in range(20):
        rows = np.random.default_rng((2, draw)).choice(len(terms), 10, replace=False)
        shares.append(combine(weights, terms[rows], timed.latency_ms[rows], np.zeros((0, terms.shape[1]))).own)
    assert np.mean(shares) < 0.05


def test_ten_named_networks_predict_the_rest_of_a_phone_from_other_phones_and_tables() -> None:
    lists = TABLES / "networks" / "phone-cnns.csv"
    columns = ("s10_1large_float_ms", "mi8se_1large_float_ms", "s10_gpu_float_ms", "iphone7_1large_float_ms")
    sources = open_sources(["note10", "xeon-vm-onnxruntime", *(f"{lists}:{column}" for column in columns)])
    timed = read_timed(lists, "pixel4_1large_float_ms")
    terms = terms_of_networks(timed.blocks)
    priced = more_terms_of(sorted({block for of in timed.blocks for block in of}))
    errors = []
    for seed in range(10):
        drawn = np.isin(np.arange(len(terms)), np.random.default_rng(seed).choice(len(terms), 10, replace=False))
        found = combine(np.stack([s.weights_ms for s in sources]), terms[drawn], timed.latency_ms[drawn], priced)
        errors.append(100 * np.abs(found.latency_ms(terms[~drawn]) / timed.latency_ms[~drawn] - 1).mean())
    assert np.mean(errors) <= 4


@pytest.mark.parametrize("sources", [["--from", "note10,xeon-vm-onnxruntime"], ["--from", "note10"], []])
def test_latencies_that_no_cost_model_explains_are_refused(tmp_path: Path, sources: list[str]) -> None:
    """Such as a column that was sorted by itself; a table may not state so large an error, so none is made."""
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(3), 8))
    figures = [95.0, 90.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    (tmp_path / "out").mkdir()
    write_networks(
        networks := tmp_path / "networks.csv", {"device": "D"}, [(SPACE.name, s) for s in subnets],
        {"latency_ms": [f"{ms:.1f}" for ms in figures]},
    )  # fmt: skip
    out = tmp_path / "out" / "d.csv"
    expected = rf"{re.escape(str(networks))}: no cost model explains these latencies: a network is \d+ % off"
    with pytest.raises(InputError, match=expected):
        main(["--networks", str(networks), *sources, "--space", SPACE.name, "--out", str(out)])
    assert not [*out.parent.iterdir()]


@pytest.mark.parametrize("sources", ["note10,xeon-vm-onnxruntime", "note10"])
def test_a_table_s_error_says_that_networks_unlike_the_timed_are_less_sure(tmp_path: Path, sources: str) -> None:
    """Ten networks that all take as long tell little of any other."""
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(3), 10))
    networks, out = tmp_path / "networks.csv", tmp_path / "d.csv"
    write_networks(networks, {"device": "D"}, [(SPACE.name, s) for s in subnets], {"latency_ms": ["5.0"] * 10})
    assert main(["--networks", str(networks), "--from", sources, "--space", SPACE.name, "--out", str(out)]) == 0
    stated = LatencyTable.load(out).expected_error or ""
    assert re.search(r"; random networks of mbv3-w1\.0: standard deviation [5-9]\.[0-9] %$", stated)


def test_a_source_says_how_much_the_networks_count_alone() -> None:
    timed: Any = SimpleNamespace(blocks=[()] * 10, header={})
    for own, words in ((0.644, "10 whole networks (by 64 % of these alone)"), (0.0, "10 whole networks")):
        found: Any = SimpleNamespace(sources=[SimpleNamespace(name="a")], combination=SimpleNamespace(own=own))
        assert _rests_on(found, timed) == f"cost models of 1 source (a), combined on {words}"
