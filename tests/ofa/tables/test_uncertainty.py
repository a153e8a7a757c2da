"""How surely an estimated table knows each network: in its file, and added up over blocks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.blocks.terms import MORE_TERMS, more_terms
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.uncertainty import LatencyUncertainty, student_quantile

SPACE, RESOLUTIONS = get_space("mbv3-w0.35", 10), (48, 96)
HEADER = {"device": "D", "runtime": "R", "provenance": "estimated", "space": "mbv3-w0.35", "source": "a test"}
DIRECTIONS = np.zeros((3, len(MORE_TERMS)))
DIRECTIONS[0, [MORE_TERMS.index("pointwise"), -1]] = 2e-9, 0.001
DIRECTIONS[1, [MORE_TERMS.index("kernels"), MORE_TERMS.index("operators"), -1]] = 2e-8, -1e-4, -0.002
DIRECTIONS[2, MORE_TERMS.index("added")] = 1e-8


def estimate(noise: float = 0.02) -> LatencyTable:
    rows = [TableRow(block, round(0.001 + block_macs(block) / 1e8, 6)) for block in all_blocks(SPACE, RESOLUTIONS)]
    return LatencyTable(HEADER, rows).with_uncertainty(LatencyUncertainty(noise, 14, DIRECTIONS, "a test"))


def sampled(count: int = 300) -> np.ndarray:
    return SPACE.sample(np.random.default_rng(0), count, resolutions=RESOLUTIONS)


def test_a_network_s_deviation_is_the_length_of_the_sum_of_its_blocks() -> None:
    table, genes = estimate(), sampled()
    lookup = table.lookup(SPACE, RESOLUTIONS)
    told = table.uncertainty
    assert told is not None
    uncertain = told.latencies(lookup)
    most, shares = uncertain.most_ms(genes, 2.0), uncertain.relative_sd(genes)
    for row, found, share in zip(lookup.index.block_numbers(genes)[::30], most[::30], shares[::30], strict=True):
        blocks = [lookup.index.blocks[n] for n in row if n < len(lookup.index.blocks)]
        terms = np.sum([more_terms(block) for block in blocks], axis=0)
        terms[-1] = 1
        summed = DIRECTIONS @ terms
        latency = sum(r.latency_ms for block in blocks for r in table.rows if r.block == block)
        deviation = np.hypot(np.linalg.norm(summed), 0.02 * latency)
        assert found == pytest.approx(latency + 2 * deviation, abs=1e-4)
        assert share == pytest.approx(deviation / latency, rel=1e-3)


def test_a_tangent_meets_its_own_network_and_stays_below_all_others() -> None:
    table, genes = estimate(), sampled(2000)
    lookup = table.lookup(SPACE, RESOLUTIONS)
    assert table.uncertainty is not None
    uncertain = table.uncertainty.latencies(lookup)
    most_ns = 1e6 * uncertain.most_ms(genes, 1.9)
    for at in (0, 7, 1999):
        sums = lookup.index.total(genes, uncertain.tangent_ns(genes[at : at + 1], 1.9))
        assert (sums <= most_ns + 30).all()
        assert 0 <= sums[at] - most_ns[at] + 0.01 <= 30
        assert (sums < 0.99 * most_ns).any()


def test_it_is_written_and_read_back_and_holds_for_its_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = estimate()
    table.save(path)
    read = LatencyTable.load(path)
    assert read.uncertainty is not None
    assert table.uncertainty is not None
    assert np.array_equal(read.uncertainty.directions, table.uncertainty.directions)
    assert not read.deviations_changed
    whole = path.read_text()
    *before, last = whole.rstrip().split("\n")
    edited = [whole.replace("_noise_pct: 2", "_noise_pct: 1"), whole.replace(" 0.001|", " 0.002|")]
    edited.append("\n".join([*before, f"{last.rpartition(',')[0]},9.5"]) + "\n")
    for text in edited:
        assert text != path.read_text()
        path.with_name("e.csv").write_text(text)
        assert LatencyTable.load(path.with_name("e.csv")).deviations_changed
    assert read.uncorrected.uncertainty is None


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace("# uncertainty_freedom: 14\n", ""), "has uncertainty_noise_pct, but no .*_freedom"),
        (lambda t: t.replace("noise_pct: 2", "noise_pct: -2"), "header uncertainty_noise_pct is '-2', expected"),
        (lambda t: t.replace("freedom: 14", "freedom: 0"), "header uncertainty_freedom is '0', expected a number"),
        (lambda t: t.replace(" 0.001|", " nan|"), "header uncertainty_directions is 'nan', expected a number"),
        (lambda t: t.replace(" 0.001|", "|"), "3 lists of 4, 5, 5 numbers, expected .* of 5 uncertainty_terms"),
        (lambda t: t.replace(" 0.001|", " 0.001|" * 40), "expected at most 23"),
        (lambda t: t.replace("terms: pointwise", "terms: added"), "uncertainty_directions is 3 lists of 5"),
        (lambda t: t.replace("# uncertainty_sums", "# uncertainty_sum"), "did you mean uncertainty_sums"),
    ],
)
def test_damage_is_named(tmp_path: Path, edit: Callable[[str], str], message: str) -> None:
    path = tmp_path / "t.csv"
    estimate().save(path)
    text = path.read_text()
    path.write_text(edit(text))
    assert path.read_text() != text
    with pytest.raises(InputError, match=message) as raised:
        LatencyTable.load(path)
    assert "t.csv" in str(raised.value)


def test_terms_of_a_later_version_promise_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    estimate().save(path)
    path.write_text(path.read_text().replace("terms: pointwise", "terms: winograd"))
    assert LatencyTable.load(path).uncertainty is None


def test_quantiles_are_student_s() -> None:
    # scipy.stats.t.ppf
    known = {(0.95, 9): 1.8331129, (0.975, 4): 2.7764451, (0.99, 14): 2.6244941, (0.999, 6): 5.2076262,
             (0.9999, 3): 22.2037423, (0.95, 1e6): 1.6448551, (0.6, 5): 0.2671809}  # fmt: skip
    for (probability, freedom), expected in known.items():
        assert student_quantile(probability, freedom) == pytest.approx(expected, rel=2e-5)
        assert student_quantile(1 - probability, freedom) == pytest.approx(-expected, rel=2e-5)
    assert student_quantile(0.5, 9) == 0
