"""`python -m ofa.search` with a separable predictor: exact, under any limits, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs, count_macs, count_params
from ofa.blocks.extremes import cheapest
from ofa.errors import Infeasible, InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.prediction import Uncertainty
from ofa.predictors.separable.bend import Bend
from ofa.predictors.separable.predictor import SeparablePredictor
from ofa.predictors.separable.unit_networks import UnitNetworks, unit_features
from ofa.runs.lock import Lock
from ofa.search.__main__ import main
from ofa.search.report import regret_in_words
from ofa.search.specialise import DeviceSearch
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks

SPACE = get_space("mbv3-w1.0")
KNOWN = (128, 160, 224)


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Arguments for a predictor that likes large choices, and a table of 1 ms a 10 MMACs."""
    rng = np.random.default_rng(0)
    units, width = len(SPACE.units), unit_features(SPACE)[0].shape[1]
    shapes = (2, units, width, 4), (2, units, 3, 4), (2, units, 4), (2, units, 4)
    tensors = [rng.uniform(0.0, 0.2, shape).astype(np.float32) for shape in shapes]
    tensors[0] *= 1 + np.arange(width)[:, None] % 3
    networks = UnitNetworks(*tensors, np.array([[60.0, 61.0, 62.0]] * 2))
    bend = Bend(np.array([50.0, 70.0]), np.array([50.0, 70.0]))
    header = {"description": "a toy", "num_classes": 1000}
    predictor = SeparablePredictor(SPACE, KNOWN, networks, bend, header, Uncertainty((0.2, 0.2, 0.2), 1.0))
    predictor.save(tmp_path / "toy.safetensors")
    return [
        *("--table", str(table_file(tmp_path, "device.csv"))),
        *("--predictor", str(tmp_path / "toy.safetensors"), "--out", str(tmp_path / "out")),
    ]


def table_file(folder: Path, name: str, scale: float = 1.0, classes: int = 1000) -> Path:
    facts = {"device": name[:-4], "runtime": "none", "provenance": "measured", "space": SPACE.name, "source": "a test"}
    blocks = all_blocks(get_space(SPACE.name, classes), KNOWN)
    rng = np.random.default_rng(len(name))
    factors = rng.lognormal(0, 0.3, len(blocks)) * scale
    rows = [TableRow(b, round(0.01 + f * block_macs(b) / 1e7, 6)) for b, f in zip(blocks, factors, strict=True)]
    LatencyTable(facts, rows).save(folder / name)
    return folder / name


def results(tmp_path: Path) -> list[dict]:
    return json.loads((tmp_path / "out" / "result.json").read_text())["results"]


def test_nothing_random_is_better_within_any_limit(toy: list[str], tmp_path: Path, capsys) -> None:
    assert main([*toy, "--latency", "15", "25", "--max-macs", "200", "--max-params", "5"]) == 0
    assert "regret 0, proven" in capsys.readouterr().out
    table, predictor = LatencyTable.load(tmp_path / "device.csv"), AccuracyPredictor.load(toy[3], SPACE)
    genes = SPACE.sample(np.random.default_rng(1), 20_000, resolutions=KNOWN)
    macs, params = count_macs(SPACE, genes) / 1e6, count_params(SPACE, genes) / 1e6
    latency, top1 = table.latency_ms(SPACE, genes), predictor.top1(genes)
    for found in results(tmp_path):
        subnet = SPACE.subnet_from_dict(found["subnet"])
        assert table.latency_ms(SPACE, subnet)[0] == pytest.approx(found["latency_ms"], abs=3e-5)
        assert found["latency_ms"] <= found["limit_ms"]
        assert found["macs_millions"] <= 200
        assert found["params_millions"] <= 5
        fits = (latency <= found["limit_ms"]) & (macs <= 200) & (params <= 5)
        assert found["predictor_top1"] >= top1[fits].max()
        assert found["regret"] == 0


def test_the_whole_frontier_is_a_file_of_networks(toy: list[str], tmp_path: Path) -> None:
    assert main(toy) == 0
    networks = read_networks(tmp_path / "out" / "device.frontier.csv")
    latency = LatencyTable.load(tmp_path / "device.csv").latency_ms(SPACE, [subnet for _, subnet in networks.networks])
    assert len(latency) > 200
    assert np.allclose(latency, networks.latency_ms, atol=3e-5)
    assert (np.diff(latency) > 0).all()
    assert (np.diff(AccuracyPredictor.load(toy[3], SPACE).top1([s for _, s in networks.networks])) > 0).all()


def test_choices_alternatives_and_one_network_for_two_devices(toy: list[str], tmp_path: Path) -> None:
    other = table_file(tmp_path, "another.csv", 2.0)
    chosen = ["--kernel-sizes", "3", "5", "--depths", "2", "3", "--best", "3", "--differ", "4"]
    assert main([*toy, "--table", str(other), "--latency", "20", "35", "--together", *chosen]) == 0
    found = results(tmp_path)
    assert [(r["table"], r["rank"]) for r in found] == [(t, k) for t in ("device", "another") for k in (1, 2, 3)]
    assert [r["subnet"] for r in found[:3]] == [r["subnet"] for r in found[3:]]
    assert all(r["latency_ms"] <= r["limit_ms"] for r in found)
    values = []
    for r in found[:3]:
        assert set(r["subnet"]["kernel_sizes"]) <= {0, 3, 5}
        assert set(r["subnet"]["depths"]) <= {2, 3}
        s = SPACE.subnet_from_dict(r["subnet"])
        values.append(np.array([s.resolution, *s.depths, *s.kernel_sizes, *s.expand_ratios]))
    assert all((values[i] != values[j]).sum() >= 4 for i in range(3) for j in range(i))


def test_fewer_alternatives_than_asked_for_are_told(toy: list[str], tmp_path: Path, capsys) -> None:
    assert main([*toy, "--latency", "20", "--best", "2", "--differ", "47"]) == 0
    assert "device: 1 of 2 networks asked for: no more of them differ in 47 choices" in " ".join(
        capsys.readouterr().out.split()
    )
    assert len(results(tmp_path)) == 1


def test_an_evolution_tells_what_it_loses_where_the_best_is_known(toy: list[str], tmp_path: Path, capsys) -> None:
    limits = ["--latency", "15", "25", "--max-macs", "200"]
    assert main([*toy, *limits]) == 0
    best = results(tmp_path)
    capsys.readouterr()
    assert main([*toy, *limits, "--method", "evolution"]) == 0
    evolved = results(tmp_path)
    lost = [b["predictor_top1"] - e["predictor_top1"] for b, e in zip(best, evolved, strict=True)]
    assert [e["regret"] for e in evolved] == pytest.approx(lost, abs=2e-4)
    assert max(lost) > 0.001  # so short an evolution does not find the best
    assert "better by more than" in capsys.readouterr().out


def test_what_little_is_lost_never_reads_as_nothing(toy: list[str], tmp_path: Path) -> None:
    table, predictor = LatencyTable.load(tmp_path / "device.csv"), AccuracyPredictor.load(toy[3], SPACE)
    search = DeviceSearch("d", table, predictor, SPACE, KNOWN)
    (found,), _ = search.run([20.0], np.random.default_rng(0))
    for regret, words, stated in (
        (0.0, "regret 0, proven: the predictor knows no better network", 0.0),
        (1e-6, "no network within the limits that is better by more than 0.001 %", 0.0001),
        (0.0123, "better by more than 0.013 %", 0.0123),
        (None, "the best is not proven", None),
    ):
        result = replace(found, regret=regret)
        assert words in regret_in_words([found, result])
        assert result.to_dict()["regret"] == stated
    assert "0.00 to 0.20 % lower (median 0.10)" in regret_in_words([replace(found, regret=None, ends_below=(0.2, 0.0))])
    assert "ended at as good ones" in regret_in_words([replace(found, regret=None, ends_below=(0.001, 0.0))])


def test_nothing_of_an_earlier_search_stays_beside_a_result(toy: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(toy) == 0
    assert {path.name for path in out.iterdir()} == {"result.json", "frontier.png", "device.frontier.csv"}
    (out / "mine.csv").touch()
    assert main([*toy, "--latency", "20"]) == 0
    assert {path.name for path in out.iterdir()} == {"result.json", "mine.csv"}


def test_two_searches_do_not_write_one_folder(toy: list[str], tmp_path: Path) -> None:
    with Lock(tmp_path / "out"), pytest.raises(InputError, match="out is being written by process"):
        main([*toy, "--latency", "20"])
    (tmp_path / "out" / "result.json").mkdir(parents=True)
    with pytest.raises(InputError, match=r"result\.json is a folder"):
        main([*toy, "--latency", "20"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latency", "20", "--kernel-sizes", "9"], "has no 9 among its kernel sizes: 3, 5, 7"),
        (["--latency", "20", "--method", "evolution", "--best", "2"], "--best need the exact search"),
        (["--latency", "20", "30", "40", "--together"], "one --latency for each of 1 tables"),
        (["--latency", "20", "--differ", "3"], "add --best, such as --best 3"),
    ],
)
def test_what_cannot_be_is_one_line(toy: list[str], arguments: list[str], words: str) -> None:
    with pytest.raises((InputError, Infeasible), match=words):
        main([*toy, *arguments])


def test_two_limits_that_exclude_each_other_are_named(toy: list[str], tmp_path: Path) -> None:
    lookup = LatencyTable.load(tmp_path / "device.csv").lookup(SPACE, KNOWN)
    fastest = cheapest(lookup.index, lookup.block_ns)[1] / 1e6
    smallest = SPACE.subnet([3] * 20, [3] * 20, [2] * 5, 128)
    fewest = count_params(SPACE, smallest) / 1e6
    limits = ["--latency", repr(fastest), "--max-params", repr(fewest)]
    with pytest.raises(Infeasible, match=r"ms and .* M parameters exclude each other: within .* ms the least is"):
        main([*toy, *limits])


def test_another_number_of_classes_is_refused(toy: list[str], tmp_path: Path) -> None:
    few = table_file(tmp_path, "few.csv", classes=5)
    with pytest.raises(InputError, match="accuracies are of 1000 classes, but the classifier of few has 5"):
        main(["--table", str(few), *toy[2:], "--latency", "20"])


def test_a_table_without_a_classifier_is_not_said_to_have_one(tmp_path: Path) -> None:
    headless = LatencyTable.load(table_file(tmp_path, "headless.csv", classes=5))
    rows = [row for row in headless.rows if row.block.op != "linear"]
    LatencyTable({**headless.header, "space": "mbv3-w0.35"}, rows).save(tmp_path / "headless.csv")
    words = ["--table", str(tmp_path / "headless.csv"), "--latency", "20"]
    with pytest.raises(InputError, match=r"headless does not list one classifier, so 1000 .* of 10: add --num-classes"):
        main(words)
