"""`python -m ofa.search --confidence` on an estimated table: each network has a margin of its own."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.blocks.extremes import cheapest
from ofa.blocks.terms import MORE_TERMS
from ofa.errors import Infeasible, InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.search import confidence
from ofa.search.__main__ import main
from ofa.search.exact import limits
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import write_networks
from ofa.tables.uncertainty import LatencyUncertainty, student_quantile
from profilers.transfer import main as transfer

SPACE, RESOLUTIONS = get_space("mbv3-w0.35", 10), (48, 96)
DIRECTIONS = {"pointwise": 3e-9, "kernels": 5e-8, "depthwise3": 2e-8}


def save(path: Path, seed: int = 0) -> Path:
    """An estimate whose directions are of 1x1 convolutions, of weights, and of depthwise ones."""
    facts = {"device": path.stem, "runtime": "R", "provenance": "estimated", "space": "mbv3-w0.35", "source": "a test"}
    blocks = all_blocks(SPACE, RESOLUTIONS)
    rows = [TableRow(b, round(0.001 + block_macs(b) / 1e8, 6)) for b in blocks]
    directions = np.zeros((3, len(MORE_TERMS)))
    shares = np.random.default_rng(seed).uniform(0.2, 1, 3).tolist()
    for row, (term, ms), share in zip(directions, DIRECTIONS.items(), shares, strict=True):
        row[MORE_TERMS.index(term)] = ms * share
    found = LatencyUncertainty(0.02, 14, directions, "of 10 timed networks, 9 keep what 95 % says")
    LatencyTable(facts, rows).with_uncertainty(found).save(path)
    return path


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return save(tmp_path / "d.csv")


def small_networks() -> np.ndarray:
    """Every network of depth 2 and kernel 3: 3^10 at each resolution."""
    layers = SPACE.layers
    ratios = SPACE.columns("expand_ratios")
    free = [ratios.start + i for i, (_, position) in enumerate(layers) if position < 2]
    genes = np.zeros((3 ** len(free), SPACE.num_genes), dtype=np.uint16)
    genes[:, free] = np.array(list(product(range(3), repeat=len(free))))
    both = np.concatenate([genes, genes])
    both[:, 0] = np.repeat(RESOLUTIONS, len(genes))
    return both


def test_the_network_is_the_best_of_all_that_keep_the_limit_with_their_margins(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    limits = (0.12, 0.2)
    asked = ["--kernel-sizes", "3", "--depths", "2", "--out", str(tmp_path / "o")]
    assert main(["--table", str(table), "--confidence", "95", "--latency", *map(str, limits), *asked]) == 0
    genes, loaded, predictor = small_networks(), LatencyTable.load(table), AccuracyPredictor.default(SPACE)
    assert loaded.uncertainty is not None
    uncertain = loaded.uncertainty.latencies(loaded.lookup(SPACE, RESOLUTIONS))
    # both limits are kept at once: each may be broken with half of 5 %
    most, top1 = uncertain.most_ms(genes, student_quantile(0.975, 14)), predictor.top1(genes)
    found = result(tmp_path / "o")["results"]
    for limit, one in zip(limits, found, strict=True):
        assert one["predictor_top1"] == pytest.approx(top1[most <= limit].max(), abs=2e-4)
        assert one["latency_ms"] < one["surely_ms"] <= limit
    said = " ".join(capsys.readouterr().out.split())
    assert "the limits of all 2 networks are kept with 95 %, by the estimate: each network's latency is" in said
    assert "of 10 timed networks, 9 keep what 95 % says" in said
    assert "regret 0, proven" in said
    stated = result(tmp_path / "o")["tables"]["d"]["allowance"]
    assert stated == {"deviations": pytest.approx(student_quantile(0.975, 14)), "confidence": 95, "networks": 2}


def test_alternatives_evolution_and_several_devices_keep_their_limits_too(table: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "e.csv", seed=3)
    out = ["--confidence", "90", "--out", str(tmp_path / "o")]
    assert main(["--table", str(table), "--latency", "0.15", "--best", "3", "--differ", "4", *out]) == 0
    found = result(tmp_path / "o")["results"]
    assert len(found) == 3
    assert all(one["surely_ms"] <= 0.15 for one in found)
    # each has the figures of its own network
    loaded = LatencyTable.load(table)
    assert loaded.uncertainty is not None
    uncertain = loaded.uncertainty.latencies(loaded.lookup(SPACE, RESOLUTIONS))
    genes = SPACE.encode([SPACE.subnet_from_dict(one["subnet"]) for one in found])
    deviations = result(tmp_path / "o")["tables"]["d"]["allowance"]["deviations"]
    assert [one["surely_ms"] for one in found] == pytest.approx(uncertain.most_ms(genes, deviations), abs=2e-6)
    assert [one["latency_sd_pct"] for one in found] == pytest.approx(100 * uncertain.relative_sd(genes), abs=1e-3)
    assert len({one["surely_ms"] for one in found}) == 3
    assert main(["--table", str(table), "--latency", "0.15", "--method", "evolution", *out]) == 0
    (evolved,) = result(tmp_path / "o")["results"]
    assert evolved["surely_ms"] <= 0.15
    assert evolved["predictor_top1"] <= found[0]["predictor_top1"] + 1.0
    both = ["--table", str(table), "--table", str(other), "--together", "--latency", "0.15", "0.14"]
    assert main([*both, *out]) == 0
    together = result(tmp_path / "o")["results"]
    assert [one["surely_ms"] <= limit for one, limit in zip(together, (0.15, 0.14), strict=True)] == [True, True]
    assert together[0]["subnet"] == together[1]["subnet"]


def test_every_tangent_but_the_first_is_of_a_network_of_its_own_beyond_the_limit(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[tuple[tuple[int, ...], float]] = []
    tangent = confidence.tangent

    def noted(uncertain: Any, allowance: Any, genes: np.ndarray, batch: int) -> Any:
        touched.append((tuple(genes[0].tolist()), float(uncertain.most_ms(genes, allowance.deviations)[0])))
        return tangent(uncertain, allowance, genes, batch)

    monkeypatch.setattr(confidence, "tangent", noted)
    asked = ["--latency", "0.15", "--best", "3", "--confidence", "90", "--out", str(tmp_path / "o")]
    assert main(["--table", str(table), *asked]) == 0
    assert len(touched) >= 3, "one is of the fastest, and of what is found two are beyond at once"
    assert len({genes for genes, _ in touched}) == len(touched)
    assert all(most > 0.15 for _, most in touched[1:])


def test_without_a_confidence_the_printout_says_how_surely_networks_are_known(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["--table", str(table), "--latency", "0.15", "--out", str(tmp_path / "o")]) == 0
    (one,) = result(tmp_path / "o")["results"]
    assert one["latency_sd_pct"] > 2
    assert "surely_ms" not in one
    said = " ".join(capsys.readouterr().out.split())
    assert (
        f"the estimated latencies of these networks have a standard deviation of {one['latency_sd_pct']:.1f} %" in said
    )


def test_margins_that_are_shown_alike_are_one_figure(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = ["--confidence", "90", "--out", str(tmp_path / "o")]
    assert main(["--table", str(table), "--latency", "0.15", "0.15", *out]) == 0
    one, other = result(tmp_path / "o")["results"]
    assert one["surely_ms"] == other["surely_ms"]
    margin = 100 * (one["surely_ms"] / one["latency_ms"] - 1)
    assert f"a margin of its own, here {margin:.1f} % (" in " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_promised_is_one_line_with_the_way_out(table: Path, tmp_path: Path) -> None:
    out = ["--confidence", "95", "--out", str(tmp_path / "out")]
    with pytest.raises(Infeasible, match=r"takes .* \(with the margin of its own that --confidence 95 gives each"):
        main(["--table", str(table), "--latency", "0.001", *out])
    least = 1e-3 * np.ceil(1e3 * float(result_of_least(table)))
    with pytest.raises(Infeasible, match=r"the fastest may take 0\.[0-9]+ ms .with the margin of its own"):
        main(["--table", str(table), "--latency", f"{least:.3f}", *out])
    edited = tmp_path / "edited.csv"
    lines = table.read_text().split("\n")
    lines[-2] = f"{lines[-2].rpartition(',')[0]},0.5"
    edited.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"edited.csv: rows or sum_correction were changed after its uncertainty"):
        main(["--table", str(edited), "--latency", "1", *out])
    bare = tmp_path / "bare.csv"
    LatencyTable.load(table).uncorrected.save(bare)
    with pytest.raises(
        InputError, match=r"bare.csv .estimated. has no .*, or estimate this one, from at least two net"
    ):
        main(["--table", str(bare), "--latency", "1", *out])
    assert not (tmp_path / "out" / "result.json").exists()


def wild_table(folder: Path) -> Path:
    """An estimate from ten networks whose latencies are drawn at random: 9,687 % for random networks."""
    rng, space = np.random.default_rng(1), get_space("mbv3-w1.0")
    networks = [(space.name, subnet) for subnet in space.decode(space.sample(rng, 10))]
    figures = [f"{ms:.4f}" for ms in np.exp(rng.uniform(0, 4.5, 10))]
    write_networks(folder / "networks.csv", {"device": "D"}, networks, {"latency_ms": figures})
    command = ["--networks", str(folder / "networks.csv"), "--from", "note10", "--space", space.name]
    assert transfer([*command, "--out", str(folder / "wild.csv")]) == 0
    return folder / "wild.csv"


@pytest.mark.parametrize("several", [False, True])
def test_a_search_that_a_table_knows_too_little_for_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    """Tangents of such a table exclude little, and each makes the next search longer."""
    wild, most, looked = wild_table(tmp_path), 100_000, [0]
    extended = limits._extended

    def counted(labels: Any, items: Any, *rest: Any) -> Any:
        looked[0] += len(labels.score) * len(items.score)
        assert looked[0] < 20 * most, "looks at more than it may"
        return extended(labels, items, *rest)

    monkeypatch.setattr(limits, "_extended", counted)
    monkeypatch.setattr(confidence, "MOST_PAIRS", most)
    tables = ["--table", str(wild), *(["--table", "zcu102", "--together"] if several else [])]
    asked = ["--latency", "30", "--out", str(tmp_path / "o")]
    words = r"wild\.csv: its latencies are known too little .* random networks 9,[0-9]{3} %\): estimate it again"
    with pytest.raises(InputError, match=words):
        main([*tables, "--confidence", "95", *asked])
    assert not (tmp_path / "o" / "result.json").exists()
    assert main(["--table", str(wild), *asked]) == 0


def result_of_least(table: Path) -> float:
    """The latency of the fastest network, ms."""
    loaded = LatencyTable.load(table)
    lookup = loaded.lookup(SPACE, RESOLUTIONS)
    return cheapest(lookup.index, lookup.block_ms)[1]
