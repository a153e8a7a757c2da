"""`python -m ofa.search`: what it prints, writes and refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs, count_macs, count_params
from ofa.errors import Infeasible, InputError
from ofa.predictors.accuracy import WEIGHTS, AccuracyPredictor, Uncertainty
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.mlp import Mlp
from ofa.runs.files import sha256
from ofa.search.__main__ import main
from ofa.space import Genes, get_space
from ofa.tables import LatencyTable, TableRow

ROOT = Path(__file__).resolve().parents[3]
SPACE = get_space("mbv3-w1.0")


def predictor_file(folder: Path, space_name: str = "mbv3-w1.0") -> Path:
    """A predictor that knows 128, 160 and 224 px, and likes every choice a little more than the one before it."""
    encoder = FeatureEncoder(get_space(space_name), [128, 160, 224])
    rng = np.random.default_rng(0)
    members = []
    for _ in range(3):
        weight = (rng.random((encoder.num_features, 1)) + np.arange(encoder.num_features)[:, None] % 3) * 0.1
        weight[-3:] = np.array([[0.0], [2.0], [4.0]])  # the resolutions
        members.append(Mlp((weight.astype(np.float32),), (np.full(1, 60, np.float32),)))
    path = folder / "toy.safetensors"
    AccuracyPredictor(encoder, members, {"description": "a toy"}, Uncertainty((0.2, 0.2, 0.2), 1.0, 0.1)).save(path)
    return path


def table_file(
    folder: Path, resolutions: list[int], name: str = "device.csv", classes: int = 1000, **header: str
) -> Path:
    """Latencies of 1 ms a 10 MMACs and 0.01 ms a block."""
    facts = {"device": "Toy", "runtime": "none", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}
    rows = [
        TableRow(b, round(0.01 + block_macs(b) / 1e7, 6))
        for b in all_blocks(get_space(SPACE.name, classes), resolutions)
    ]
    LatencyTable({**facts, **header}, rows).save(folder / name)
    return folder / name


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Arguments for a complete table at 128, 160 and 224 px."""
    table = table_file(tmp_path, [128, 160, 224])
    return ["--table", str(table), "--predictor", str(predictor_file(tmp_path)), "--out", str(tmp_path / "out")]


@pytest.fixture
def exact(tmp_path: Path) -> list[str]:
    """The same with the shipped predictor, whose search is exact and so the shortest: for what a search says."""
    return ["--table", str(table_file(tmp_path, [128, 160, 224])), "--out", str(tmp_path / "out")]


def written(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "result.json").read_text())


@pytest.mark.drawn
def test_results_are_what_the_table_and_the_predictor_say(toy: list[str], tmp_path: Path) -> None:
    assert main([*toy, "--latency", "15", "25", "--seed", "3"]) == 0
    result = written(tmp_path)
    assert [r["limit_ms"] for r in result["results"]] == [15, 25]
    table = LatencyTable.load(tmp_path / "device.csv")
    predictor = AccuracyPredictor.load(tmp_path / "toy.safetensors", SPACE)
    for r in result["results"]:
        subnet = SPACE.subnet_from_dict(r["subnet"])
        assert r["latency_ms"] == pytest.approx(table.latency_ms(SPACE, subnet)[0], abs=1e-5)
        assert 0.97 * r["limit_ms"] < r["latency_ms"] <= r["limit_ms"]
        assert r["predicted_top1"] == pytest.approx(predictor.predict(subnet).top1[0], abs=1e-3)
        assert r["predicted_top1_std"] == pytest.approx(predictor.predict(subnet).std[0], abs=1e-3)
        assert r["macs_millions"] == count_macs(SPACE, subnet) / 1e6
        assert r["params_millions"] == count_params(SPACE, subnet) / 1e6
        assert not r["latency_interpolated"]
        assert not r["top1_interpolated"]
    assert set(result) >= {"space", "tables", "predictor", "results", "evaluations", "seconds", "seed"}
    assert result["tables"]["device"]["provenance"] == "measured"
    assert result["tables"]["device"]["resolutions"] == [128, 160, 224]
    assert (tmp_path / "out" / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_a_result_says_by_content_which_predictor_it_rests_on(toy: list[str], tmp_path: Path) -> None:
    assert main([*toy, "--latency", "20"]) == 0
    result = written(tmp_path)
    given = {"file": "toy.safetensors", "sha256": sha256(tmp_path / "toy.safetensors")}
    assert result["settings"]["predictor"] == {**given, "beside": sha256(tmp_path / "toy.json")}
    assert main([toy[0], toy[1], "--space", "mbv3-w1.0", "--latency", "20", "--out", str(tmp_path / "out")]) == 0
    shipped = WEIGHTS / "mbv3-w1.0.safetensors"
    result = written(tmp_path)
    assert result["predictor"]["sha256"] == result["settings"]["predictor"]["sha256"] == sha256(shipped)


def test_the_classifier_is_the_table_s(tmp_path: Path) -> None:
    table = table_file(tmp_path, [128, 160, 224], classes=10)
    chosen = ["--table", str(table), "--predictor", str(predictor_file(tmp_path)), "--out", str(tmp_path / "out")]
    assert main([*chosen, "--latency", "15"]) == 0
    assert written(tmp_path)["num_classes"] == 10
    with pytest.raises(InputError, match="linear"):
        main([*chosen, "--latency", "15", "--num-classes", "1000"])


def test_a_predictor_and_a_table_are_read_once(toy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    for kind in (AccuracyPredictor, LatencyTable):

        def counted(path: Path, *rest: object, load: Callable[..., object] = kind.load) -> object:
            read.append(path.name)
            return load(path, *rest)

        monkeypatch.setattr(kind, "load", counted)
    assert main([*toy, "--latency", "20", "--resolutions", "200"]) == 0
    assert read == ["device.csv", "toy.safetensors"]


def test_a_seed_gives_the_same_results_and_several_limits_share_a_run(toy: list[str], tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        main([*toy, "--latency", "15", "20", "--seed", "1"])
        results.append(written(tmp_path)["results"])
    assert results[0] == results[1]


def test_without_a_limit_the_frontier_runs_from_the_fastest_to_the_slowest(toy: list[str], tmp_path: Path) -> None:
    assert main(toy) == 0
    results = written(tmp_path)["results"]
    smallest, largest = (
        SPACE.subnet([k] * 20, [e] * 20, [d] * 5, r) for k, e, d, r in ((3, 3, 2, 128), (7, 6, 4, 224))
    )
    table = LatencyTable.load(tmp_path / "device.csv")
    latencies, accuracies = ([r[key] for r in results] for key in ("latency_ms", "predicted_top1"))
    assert latencies[0] == pytest.approx(table.latency_ms(SPACE, smallest)[0], abs=1e-5)
    assert latencies[-1] > 0.9 * table.latency_ms(SPACE, largest)[0]
    assert latencies == sorted(latencies)
    assert accuracies == sorted(accuracies)
    assert len(results) > 10


def test_limits_on_macs_and_parameters_hold_too(toy: list[str], tmp_path: Path) -> None:
    main([*toy, "--latency", "30", "--max-macs", "200", "--max-params", "4"])
    (result,) = written(tmp_path)["results"]
    assert result["macs_millions"] <= 200
    assert result["params_millions"] <= 4


def test_no_network_that_was_asked_about_is_better_than_what_an_evolution_ends_with(
    toy: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The regret against the best known is 0: whatever asked, islands, exchanges, polishing, for whichever limit."""
    table, best, limits = LatencyTable.load(tmp_path / "device.csv"), {}, (12.0, 20.0, 21.0)
    answer = AccuracyPredictor.top1

    def overheard(self: AccuracyPredictor, subnets: Genes) -> NDArray[np.float64]:
        # what is best changes with the gene before last, so that no neighbour tells: the toy alone is a sum
        values = answer(self, subnets) + 0.3 * np.sin(7.0 * subnets[:, -2] * (1 + subnets[:, 5]) + subnets[:, 12])
        if len(subnets) > 1:
            latency = table.lookup(SPACE, (128, 160, 224))
            ms = latency.index.total(subnets, latency.block_ns) / 1e6
            for limit in limits:
                best[limit] = max([best.get(limit, -np.inf), *values[ms <= limit]])
        return values

    monkeypatch.setattr(AccuracyPredictor, "top1", overheard)
    monkeypatch.setattr("ofa.search.evolution.ISLANDS", 2)
    assert main([*toy, "--latency", *map(str, limits)]) == 0
    found = written(tmp_path)["results"]
    assert [r["predictor_top1"] for r in found] == pytest.approx([best[limit] for limit in limits], abs=1e-4)
    assert all(r["regret"] is None and len(r["ends_below"]) == 2 and min(r["ends_below"]) >= 0 for r in found)
    said = " ".join(capsys.readouterr().out.split())
    assert "the best is not proven" in said
    assert "2 smaller evolutions from other beginnings ended" in said


def test_several_tables_are_searched_each_for_itself(toy: list[str], tmp_path: Path) -> None:
    other = table_file(tmp_path, [160], "other.csv")
    main([*toy, "--table", str(other), "--latency", "25"])
    results = {r["table"]: r for r in written(tmp_path)["results"]}
    assert set(results) == {"device", "other"}
    assert results["other"]["subnet"]["resolution"] == 160
    alone = [*toy, "--latency", "25"]
    main(alone)
    assert written(tmp_path)["results"] == [results["device"]]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "the sums of this table were not checked"),
        ({"provenance": "estimated"}, "latencies are estimated, not measured here: a test"),
        ({"provenance": "imported"}, "latencies are imported, not measured here: a test"),
        (
            {"expected_error": "mean 2.0 %"},
            "expected error of a latency: mean 2.0 % (the header does not record of which",
        ),
        (
            {"expected_error": "mean 2.0 %", "expected_error_sums": "0123456789abcdef"},
            "expected error of a latency: not known: rows or sum_correction are not those that the header's was found",
        ),
        (
            {"expected_error": "mean 2.0 %", "expected_error_ms": "1.5 to 9"},
            "the table was checked on networks of 1.5 to 9 ms; 1 of 1 is outside: there its sums are less sure",
        ),
        ({"omits": "global_pool"}, "latencies leave out global_pool"),
        ({"sum_correction": "scale=0.96 (fitted)"}, "latencies are corrected sums of blocks: scale=0.96 (fitted)"),
    ],
)
def test_an_estimate_is_never_shown_as_a_measurement(
    exact: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], header: dict, words: str
) -> None:
    table_file(tmp_path, [128, 160, 224], **header)
    main([*exact, "--latency", "20"])
    assert words in " ".join(capsys.readouterr().out.split())
    if "expected_error_sums" in header:
        assert "changed since it was found" in written(tmp_path)["tables"]["device"]["expected_error"]


def test_networks_that_no_table_was_checked_on_are_told_once_and_marked(
    exact: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = {"expected_error": "mean 2.0 %", "expected_error_ms": "13 to 17"}
    table_file(tmp_path, [128, 160, 224], **stated)
    main([*exact, "--latency", "12", "15", "16", "20"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("the table was checked on networks of 13 to 17 ms; 2 of 4 are outside") == 1
    assert [result["latency_checked"] for result in written(tmp_path)["results"]] == [False, True, True, False]
    # nothing is said of what is inside, nor where rows were changed since
    main([*exact, "--latency", "15", "16"])
    assert "was checked on" not in capsys.readouterr().out
    table_file(tmp_path, [128, 160, 224], **stated, expected_error_sums="0123456789abcdef")
    main([*exact, "--latency", "12"])
    assert "was checked on" not in capsys.readouterr().out
    assert "latency_checked" not in written(tmp_path)["results"][0]
    assert "expected_error_ms" not in written(tmp_path)["tables"]["device"]


def test_latencies_of_an_emulated_device_must_be_asked_for_and_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_file(tmp_path, [128], emulated="yes")
    arguments = ["--table", str(table), "--latency", "15", "--out", str(tmp_path / "out")]
    with pytest.raises(InputError, match="measured on an emulated device: its latencies mean nothing"):
        main(arguments)
    assert main([*arguments, "--allow-emulated"]) == 0
    assert "latencies are of an EMULATED device" in capsys.readouterr().out


def test_interpolation_must_be_asked_for_and_is_said(
    toy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*toy, "--latency", "20", "--resolutions", "200"])
    (result,) = written(tmp_path)["results"]
    assert result["subnet"]["resolution"] == 200
    assert result["latency_interpolated"]
    assert result["top1_interpolated"]
    printed = capsys.readouterr().out
    assert "~ latency rests on blocks interpolated between measured sizes: mean error of a block" in printed
    assert "^ accuracy is interpolated" in printed
    assert written(tmp_path)["tables"]["device"]["interpolation_error_pct"] >= 0


def test_an_infeasible_limit_names_the_fastest_and_nothing_is_written(toy: list[str], tmp_path: Path) -> None:
    smallest = SPACE.subnet([3] * 20, [3] * 20, [2] * 5, 128)
    fastest = LatencyTable.load(tmp_path / "device.csv").latency_ms(SPACE, smallest)[0]
    with pytest.raises(
        Infeasible, match=rf"within 1 ms on Toy: the fastest takes {fastest:.3f} ms \(128 px, depths 2-2"
    ):
        main([*toy, "--latency", "20", "1"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(Infeasible, match="within 1 ms"):
        main([*toy[:-1], str(tmp_path / "of" / "today"), "--latency", "1"])
    assert not (tmp_path / "of").exists()
    with pytest.raises(Infeasible, match=r"at most 10 M MACs: the least is \d+"):
        main([*toy, "--latency", "20", "--max-macs", "10"])


def test_latencies_of_several_images_at_once_never_read_like_those_of_one(
    toy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*toy, "--latency", "20"]) == 0
    assert "images" not in capsys.readouterr().out
    table_file(tmp_path, [128, 160, 224], batch="64")
    assert main([*toy, "--latency", "20"]) == 0
    printed = capsys.readouterr().out
    for shown in ("20.00 (0.312)", "for 64 images", "(an image)", "are for 64 images at once"):
        assert shown in printed
    smallest = SPACE.subnet([3] * 20, [3] * 20, [2] * 5, 128)
    fastest = LatencyTable.load(tmp_path / "device.csv").latency_ms(SPACE, smallest)[0]
    one = rf"the fastest takes {fastest:.3f} ms for 64 images \({fastest / 64:.3g} an image\)"
    with pytest.raises(Infeasible, match=rf"within 1 ms for 64 images \(0\.0156 an image\) on Toy: {one}"):
        main([*toy, "--latency", "1"])


def test_limits_that_exclude_each_other_are_said(toy: list[str], tmp_path: Path) -> None:
    # a device on which more MACs take less time
    table = LatencyTable.load(tmp_path / "device.csv")
    rows = [TableRow(row.block, 1 / row.latency_ms) for row in table.rows]
    LatencyTable(table.header, rows).save(tmp_path / "device.csv")
    fastest = LatencyTable(table.header, rows).latency_ms(SPACE, SPACE.subnet([7] * 20, [6] * 20, [2] * 5, 224))[0]
    with pytest.raises(Infeasible, match="each alone is possible, together they may not be"):
        main([*toy, "--latency", str(fastest), "--max-macs", "42"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "nokia3310"], "nokia3310: no such latency table"),
        (["--space", "mbv9-w1.0"], "unknown space 'mbv9-w1.0'"),
        (["--space", "mbv3-w1.2"], "predictor .* is for mbv3-w1.0, not mbv3-w1.2"),
        (["--resolutions", "96"], r"lacks \d+ of the blocks of mbv3-w1.0 at 96 px"),
        (["--latency", "-3"], "--latency is -3.0, expected a number above 0"),
        (["--latency", "nan"], "--latency is nan, expected a number above 0"),
        (["--predictor", "nowhere.safetensors"], "no such predictor: nowhere.safetensors"),
    ],
)
def test_wrong_arguments_are_named(toy: list[str], arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([*toy, *arguments])


def test_a_table_without_the_blocks_says_which_and_how_to_measure_them(tmp_path: Path) -> None:
    table = LatencyTable.load(table_file(tmp_path, [128, 160, 224]))
    rows = [row for row in table.rows if row.block.kernel_size != 7]
    LatencyTable(table.header, rows).save(tmp_path / "device.csv")
    arguments = ["--table", str(tmp_path / "device.csv"), "--predictor", str(predictor_file(tmp_path))]
    with pytest.raises(InputError, match=r"(?s)lacks 30 of .*k7 s2.*and 25 more.*python -m profilers.cpu --space mbv3"):
        main([*arguments, "--latency", "20"])


def test_tables_of_several_spaces_need_a_choice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"do not name one space in common .*choose with --space"):
        table = table_file(tmp_path, [128], space="mbv3-w1.0, mbv3-w1.2")
        main(["--table", str(table), "--out", str(tmp_path)])


def command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ofa.search", *arguments], capture_output=True, text=True, cwd=folder, env=environment
    )


def test_exit_codes_and_one_line_of_error(tmp_path: Path) -> None:
    # the shipped predictor, whose search is exact and so the shortest
    shipped = ["--table", str(table_file(tmp_path, [128, 160, 224])), "--out", str(tmp_path / "out")]
    infeasible = command([*shipped, "--latency", "1"], tmp_path)
    assert (infeasible.returncode, infeasible.stderr.count("\n")) == (2, 1)
    assert infeasible.stderr.startswith("error: no sub-network of mbv3-w1.0 runs within 1 ms")
    broken = tmp_path / "broken.csv"
    broken.write_text("# schema: 1\n")
    wrong = command(["--table", str(broken)], tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    fine = command([*shipped, "--latency", "20"], tmp_path)
    assert (fine.returncode, fine.stderr) == (0, "")


def test_a_search_never_loads_torch_or_pandas(tmp_path: Path) -> None:
    code = (
        "import sys, ofa.search.__main__ as m; from ofa.search import evolution, polish; "
        "evolution.ISLANDS, polish._BEHIND = 1, 0.001; m.main(sys.argv[1:]); "
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules), set(sys.modules)"
    )
    table = table_file(tmp_path, [160])
    arguments = ["--table", str(table), "--predictor", str(predictor_file(tmp_path)), "--latency", "20"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
