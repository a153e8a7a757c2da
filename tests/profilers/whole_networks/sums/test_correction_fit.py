"""The correction of sums, fitted on whole networks, the units whose blocks seem too high; which networks are chosen."""

from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.sum_correction import SumCorrection
from profilers.whole_networks.choosing import stratified
from profilers.whole_networks.sums.correction_fit import correction_terms, fit_correction, unit_errors
from profilers.whole_networks.validation import correction_of

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 160)
HEADER = {"device": "D", "runtime": "onnxruntime 1", "provenance": "measured", "space": "mbv3-w1.0", "source": "test"}


def table(too_high: dict[str, float] | None = None) -> LatencyTable:
    """Latencies by MACs, with some blocks measured too high by a factor."""
    rows = []
    for block in all_blocks(SPACE, RESOLUTIONS):
        factor = next((f for text, f in (too_high or {}).items() if text in str(block)), 1.0)
        rows.append(TableRow(block, factor * (0.01 + block_macs(block) / 1e7)))
    return LatencyTable(HEADER, rows)


def test_networks_are_spread_from_the_fastest_to_the_slowest() -> None:
    chosen = stratified(table(), SPACE, RESOLUTIONS, 50, np.random.default_rng(0))
    latencies = table().latency_ms(SPACE, chosen)
    assert latencies.tolist() == sorted(latencies)
    everything = table().latency_ms(SPACE, SPACE.sample(np.random.default_rng(1), 5000, resolutions=RESOLUTIONS))
    assert latencies[0] < 0.85 * everything.min()
    assert latencies[-1] > 1.2 * everything.max()
    assert len(np.unique(chosen, axis=0)) == len(chosen) == 50
    # and so are the smallest and the largest that there are
    ends = [SPACE.subnet([k] * 20, [e] * 20, [d] * 5, resolution=r) for k, e, d, r in ((3, 3, 2, 128), (7, 6, 4, 160))]
    fastest, slowest = table().latency_ms(SPACE, SPACE.as_genes(ends))
    assert latencies[0] < 1.05 * fastest and latencies[-1] > 0.95 * slowest
    assert set(chosen[:10, 0]) == set(RESOLUTIONS)


def test_the_unit_that_is_measured_too_high_is_found() -> None:
    wrong = table({"x160>": 1.5, ">160 k": 1.5})  # the blocks of unit 5 have 160 channels
    genes = stratified(wrong, SPACE, RESOLUTIONS, 100, np.random.default_rng(0))
    errors = unit_errors(wrong.lookup(SPACE, RESOLUTIONS), genes, table().latency_ms(SPACE, genes))
    assert max(errors, key=lambda unit: errors[unit]) == "unit 5"
    assert errors["unit 5"] > 10
    right = unit_errors(table().lookup(SPACE, RESOLUTIONS), genes, table().latency_ms(SPACE, genes))
    assert max(abs(e) for e in right.values()) < 1


def terms_of(networks: int, seed: int = 0) -> np.ndarray:
    """(networks, 5) of random networks."""
    lookup = table().lookup(SPACE, RESOLUTIONS)
    genes = SPACE.sample(np.random.default_rng(seed), networks, resolutions=RESOLUTIONS)
    return correction_terms(lookup, lookup.block_ms, genes)


@pytest.mark.parametrize(
    "planted",
    [
        SumCorrection(1.2, weights=0.05),
        SumCorrection(0.8, calls=0.03),
        SumCorrection(1.1, weights=0.03, calls=0.02),
        SumCorrection(1.05, head=0.5),
        SumCorrection(1.1, weights=0.03, head=1.4),
    ],
)
def test_a_planted_correction_is_found_again(planted: SumCorrection) -> None:
    terms = terms_of(30)
    assert np.allclose(
        terms[:, 0], table().latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 30, resolutions=RESOLUTIONS))
    )
    noise = np.random.default_rng(1).normal(1, 0.0005, len(terms))
    others = terms_of(300, 99)
    found = fit_correction(terms, terms @ planted.factors * noise)
    assert others @ found.factors == pytest.approx(others @ planted.factors, rel=0.003)
    assert found.scale == pytest.approx(planted.scale, rel=0.02)


def test_a_factor_on_all_sums_is_found_whatever_it_is() -> None:
    terms = terms_of(30)
    for factor in (0.03, 0.9, 1.0, 30.0):
        found = fit_correction(terms, factor * terms[:, 0])
        assert terms @ found.factors == pytest.approx(factor * terms[:, 0], rel=1e-3)


@pytest.mark.parametrize("factor", [0.085, 1.0, 12.0])
def test_two_noisy_networks_take_others_no_further_than_their_noise_however_far_off_the_sums_are(factor: float) -> None:
    others = terms_of(300, 99)
    for seed in range(20):
        terms, noise = terms_of(2, seed), np.exp(np.random.default_rng(seed).normal(0, 0.1, 2))
        found = fit_correction(terms, factor * terms[:, 0] * noise)
        off = others @ found.factors / (factor * others[:, 0])
        assert off.min() > 0.7 and off.max() < 1.4
        assert factor / 2 < found.scale < 2 * factor


def test_no_block_takes_nothing_whatever_the_networks_took() -> None:
    """Networks that pass on much take less than their sums: a fit that may be negative takes it off small blocks."""
    lookup = table().lookup(SPACE, RESOLUTIONS)
    for seed, planted in enumerate(
        ((-0.02, -0.6, 0.0, 0.0), (-0.05, 0.0, 0.0, 0.0), (0.0, 0.0, -0.1, 0.0), (0, 0, 0, -1.9))
    ):
        terms = terms_of(25, seed)
        found = fit_correction(terms, terms @ (1.4, *planted))
        assert min(found.scale, found.head, found.weights, found.calls) >= 0
        assert found.apply(lookup.index.blocks, lookup.block_ms).min() > 0


def test_sums_that_are_right_are_left_so_though_networks_are_noisy() -> None:
    """Of 40 tables whose sums are right, each corrected by 25 networks, which are off by 3 %."""
    rng, others = np.random.default_rng(0), terms_of(300, 99)
    moved = []
    for seed in range(40):
        terms = terms_of(25, seed)
        found = fit_correction(terms, terms[:, 0] * np.exp(rng.normal(0, 0.03, len(terms))))
        moved.append(others @ found.factors / others[:, 0] - 1)
    # without the ridge they move by 0.7 %
    assert np.abs(moved).mean() < 0.005


def test_few_networks_move_the_sums_towards_them_and_no_further() -> None:
    """Two networks say nothing of three terms: others end between their plain sum and what the two took more."""
    terms, others = terms_of(2), terms_of(300, 99)
    found = fit_correction(terms, 1.2 * terms[:, 0])
    factor = others @ found.factors / others[:, 0]
    assert factor.min() > 1.1 and factor.max() < 1.3


def test_a_table_of_another_device_is_named_where_its_sums_cannot_be_corrected() -> None:
    genes = stratified(table(), SPACE, RESOLUTIONS, 12, np.random.default_rng(0))
    of_another = LatencyTable(HEADER, table().rows, Path("t.csv"))
    alone = of_another.lookup(SPACE, RESOLUTIONS)
    sums = alone.latency_ms(genes)
    assert correction_of(of_another, alone, genes, 1.5 * sums).scale == pytest.approx(1.5, rel=0.01)
    with pytest.raises(InputError, match=r"^t\.csv is not of this device as it is now: .*scale is 0\.000[45]"):
        correction_of(of_another, alone, genes, 0.0005 * sums)
