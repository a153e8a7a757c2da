"""How well sums predict whole networks: the scores by hand, the correction, and which networks are chosen."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.whole_networks.choosing import stratified
from profilers.whole_networks.sum_fit import correction_terms, fit_correction, repeat, score, unit_errors
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


def test_scores_by_hand() -> None:
    measured = np.array([10.0, 20.0, 40.0, 100.0])
    scores = score(np.array([10.9, 20.4, 36.4, 120.0]), measured)
    # errors are +9, +2, -9 and +20 %
    assert (scores.mape_pct, scores.bias_pct, scores.worst_pct) == (10.0, 5.5, 20.0)
    assert (scores.within_5_pct, scores.within_10_pct) == (25.0, 75.0)
    assert (scores.kendall_tau, scores.networks) == (1.0, 4)


def test_what_a_repeat_tells_by_hand() -> None:
    # odd rounds against even: 11 to 10, 20 to 20, 30 to 40; the last network was visited once
    found = repeat([[11.0, 10.0, 11.0], [20.0, 20.0], [30.0, 40.0], [5.0]])
    assert found.mape_pct == pytest.approx(100 * (0.1 + 0 + 0.25) / 3, abs=0.01)
    assert found.kendall_tau == 1.0


def test_a_constant_factor_is_bias_and_no_spread() -> None:
    measured = np.array([1.0, 2.0, 5.0])
    scores = score(1.07 * measured, measured)
    assert (scores.bias_pct, scores.mape_pct, scores.spread_pct) == (7.0, 7.0, 0.0)


def test_networks_are_spread_from_the_fastest_to_the_slowest() -> None:
    chosen = stratified(table(), SPACE, RESOLUTIONS, 50, np.random.default_rng(0))
    latencies = table().latency_ms(SPACE, chosen)
    assert latencies.tolist() == sorted(latencies)
    everything = table().latency_ms(SPACE, SPACE.sample(np.random.default_rng(1), 5000, resolutions=RESOLUTIONS))
    assert latencies[0] < np.percentile(everything, 2)
    assert latencies[-1] > np.percentile(everything, 98)
    assert len(np.unique(chosen, axis=0)) == 50


def test_the_unit_that_is_measured_too_high_is_found() -> None:
    wrong = table({"x160>": 1.5, ">160 k": 1.5})  # the blocks of unit 5 have 160 channels
    genes = stratified(wrong, SPACE, RESOLUTIONS, 100, np.random.default_rng(0))
    errors = unit_errors(wrong.lookup(SPACE, RESOLUTIONS), genes, table().latency_ms(SPACE, genes))
    assert max(errors, key=lambda unit: errors[unit]) == "unit 5"
    assert errors["unit 5"] > 10
    right = unit_errors(table().lookup(SPACE, RESOLUTIONS), genes, table().latency_ms(SPACE, genes))
    assert max(abs(e) for e in right.values()) < 1


def test_a_correction_is_found_again_and_only_where_networks_show_it() -> None:
    genes = SPACE.sample(np.random.default_rng(0), 30, resolutions=RESOLUTIONS)
    lookup = table().lookup(SPACE, RESOLUTIONS)
    terms = correction_terms(lookup, lookup.block_ms, genes)
    assert np.allclose(terms[:, 0], table().latency_ms(SPACE, genes))
    noise = np.random.default_rng(1).normal(1, 0.0005, len(genes))
    for planted in ((1.2, 0.05, -0.1, 0.0), (1.2, 0.0, 0.0, -0.2)):
        assert astuple(fit_correction(terms, terms @ planted * noise)) == pytest.approx(planted, rel=0.1, abs=1e-3)
    assert astuple(fit_correction(terms, 0.9 * terms[:, 0])) == pytest.approx((0.9, 0, 0, 0), abs=1e-9)
    # two networks say nothing of so many terms
    few = fit_correction(terms[:2], (terms @ (1.2, 0.05, -0.1, 0.0))[:2])
    assert astuple(few)[1:] == (0, 0, 0)


def test_a_table_of_another_device_is_named_where_its_sums_cannot_be_corrected() -> None:
    genes = stratified(table(), SPACE, RESOLUTIONS, 12, np.random.default_rng(0))
    of_another = LatencyTable(HEADER, table().rows, Path("t.csv"))
    alone = of_another.lookup(SPACE, RESOLUTIONS)
    sums = alone.latency_ms(genes)
    assert correction_of(of_another, alone, genes, 1.5 * sums).scale == pytest.approx(1.5, rel=0.01)
    with pytest.raises(InputError, match=r"^t\.csv is not of this device as it is now: .*scale is 0\.0005"):
        correction_of(of_another, alone, genes, 0.0005 * sums)
