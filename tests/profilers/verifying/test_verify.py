"""`python -m profilers.verify` on a device whose latencies are planted: which network keeps each limit, as measured."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.weights import read_image_facts
from ofa.errors import Infeasible, InputError, UsageError
from ofa.export.config import ExportConfig
from ofa.export.inputs import open_inputs
from ofa.search.__main__ import main as search
from ofa.tables import LatencyTable
from profilers.measuring.events import Hello
from profilers.verify import main
from profilers.verifying.choice import NEAR
from tests.profilers.verifying.searched import (
    LIMITS,
    SPACE,
    SUPERNET,
    Run,
    alone_ms,
    found,
    keeps,
    scattered,
    sums,
    whole,
    write_table,
)
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice


@pytest.mark.drawn
def test_where_networks_take_what_was_predicted_the_found_ones_stay(run: Run, made: Path, tmp_path: Path) -> None:
    code, content = run(PlantedDevice(whole(lambda _: 1.0)), "--plotted")
    assert (tmp_path / "verified.png").read_bytes().startswith(b"\x89PNG")
    assert code == 0
    assert [r["subnet"] for r in content["results"]] == [r["subnet"] for r in found(made)]
    assert [r["latency_ms"] for r in content["results"]] == pytest.approx(
        [r["predicted_ms"] for r in content["results"]]
    )
    assert not any(r["changed"] for r in content["results"])
    assert len(content["verification"]["rounds"]) == 1
    assert content["verification"]["device"] == SOC
    assert content["not_kept"] == []


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_the_search_goes_on_nearer_or_farther_until_the_limit_is_just_kept(
    run: Run, made: Path, factor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    code, content = run(PlantedDevice(whole(lambda _: factor)))
    assert code == 0
    for result, before in zip(content["results"], found(made), strict=True):
        assert result["latency_ms"] == pytest.approx(factor * sums(result), rel=1e-4)
        assert result["limit_ms"] * (1 - NEAR) < result["latency_ms"] <= result["limit_ms"]
        assert keeps(result) and result["changed"]
        assert result["found"]["measured_ms"] == pytest.approx(factor * before["latency_ms"], rel=1e-4)
        assert result["found"]["keeps_limit"] == (factor < 1)
        assert (result["predictor_top1"] > before["predictor_top1"]) == (factor < 1)
    assert len(content["verification"]["rounds"]) > 1
    assert "searching again about" in capsys.readouterr().out


def test_no_network_of_the_space_within_a_measured_limit_is_better_but_for_what_lies_near(
    run: Run, tmp_path: Path
) -> None:
    """Against the search itself, told the truth: the best within limit / 1.1 is at most NEAR away in latency."""
    code, content = run(PlantedDevice(whole(lambda _: 1.1)))
    assert code == 0
    table = write_table(tmp_path / "true.csv")
    limits = [limit / 1.1 for limit in LIMITS]
    search(["--table", str(table), "--latency", *map(str, limits), "--out", str(tmp_path / "most")])
    search(
        ["--table", str(table), "--latency", *(str(x * (1 - NEAR)) for x in limits), "--out", str(tmp_path / "least")]
    )
    for result, most, least in zip(
        content["results"], found(tmp_path / "most"), found(tmp_path / "least"), strict=True
    ):
        assert least["predictor_top1"] <= result["predictor_top1"] <= most["predictor_top1"]


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_is_kept_as_certified_or_marked_as_not_kept(run: Run, seed: int) -> None:
    limits = np.random.default_rng(seed).uniform(0.25, 1.0, 4).round(3).tolist()
    device = PlantedDevice(whole(scattered), noise=0.03, seed=seed)
    code, content = run(device, "--latency", *map(str, limits), "--seed", str(seed))
    kept, broken = content["results"], content["not_kept"]
    assert sorted(r["limit_ms"] for r in [*kept, *broken]) == sorted(limits)
    assert all(keeps(r) and r["latency_ms"] == r["even_ms"] for r in kept)
    assert code == (1 if broken else 0)
    # nothing that was measured, is more accurate and keeps the limit was left out
    for limit, result in [*((r["limit_ms"], r) for r in kept), *((r["limit_ms"], None) for r in broken)]:
        rivals = [n for n in content["verification"]["networks"] if keeps({**n, "limit_ms": limit})]
        best = max((n["predictor_top1"] for n in rivals), default=None)
        assert best == (None if result is None else result["predictor_top1"])


def test_a_limit_that_even_the_fastest_breaks_is_not_kept_and_not_exported(
    run: Run, tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, content = run(PlantedDevice(whole(lambda _: 2.5)))
    assert code == 1
    fastest = min(n["measured_ms"] for n in content["verification"]["networks"])
    assert [r["limit_ms"] for r in content["not_kept"]] == [limit for limit in LIMITS if limit < fastest] == [0.35, 0.5]
    assert content["not_kept"][0]["found"]["measured_ms"] == pytest.approx(2.5 * found(made)[0]["latency_ms"], rel=1e-4)
    assert (
        f"0.5 ms: no network that was measured keeps it (the fastest took {fastest:.4g} ms)" in capsys.readouterr().out
    )
    with pytest.raises(Infeasible, match=r"no result of .* takes at most 0\.5 ms: the fastest takes"):
        read_subnet(tmp_path / "verified.json", limit_ms=0.5)
    code, content = run(PlantedDevice(whole(lambda _: 10.0)))
    assert (code, content["results"]) == (1, [])
    with pytest.raises(Infeasible, match="has no results: no network keeps a limit"):
        read_subnet(tmp_path / "verified.json", limit_ms=0.5)


def test_what_is_verified_can_be_exported_and_evaluated(run: Run, tmp_path: Path, made: Path) -> None:
    _, content = run(PlantedDevice(whole(lambda _: 1.2)))
    verified = tmp_path / "verified.json"
    for i, result in enumerate(content["results"]):
        inputs = open_inputs(ExportConfig(subnet=verified, limit=result["limit_ms"], format="onnx"))
        assert inputs.source.subnet == SPACE.subnet_from_dict(result["subnet"])
        assert inputs.facts["search"]["latency_ms"] == result["latency_ms"] == result["even_ms"]
        assert read_subnet(verified, index=i).subnet(SPACE) == inputs.source.subnet
    # a limit between two of them gets the faster
    assert read_subnet(verified, limit_ms=0.49).facts["limit_ms"] == 0.35
    with pytest.raises(InputError, match=r"verified\.json was verified: name the result\.json that it was made of"):
        main(["--table", str(made / "d.csv"), "--result", str(verified), "--out", str(tmp_path / "v.json")])


def write_images(folder: Path) -> Path:
    """As many images of the supernet's classes as its calibration needs, and a few to evaluate on."""
    facts = read_image_facts(SUPERNET)
    assert facts is not None
    rng = np.random.default_rng(0)
    for name in facts.classes:
        for split, count in (("train", 8), ("val", 1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def test_accuracies_are_measured_and_what_does_not_fit_is_said_before_anything_is_measured(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = PlantedDevice(whole(lambda _: 1.0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        run(device, "--checkpoint", str(SUPERNET), "--data", str(tmp_path / "empty"))
    assert device.visits == 0
    images = write_images(tmp_path / "images")
    code, content = run(device, "--checkpoint", str(SUPERNET), "--data", str(images), "--again", "0")
    evaluated = json.loads((tmp_path / "verified.accuracy.json").read_text())["results"]
    assert code == 0
    assert [r["measured_top1"] for r in content["results"]] == [r["top1"] for r in evaluated]
    assert len(evaluated) == len(LIMITS)
    assert [r["subnet"] for r in evaluated] == [r["subnet"] for r in content["results"]]
    assert "0.35 ms: top-1" in capsys.readouterr().out


def test_rounds_are_as_many_as_are_asked_for(run: Run) -> None:
    for again in (0, 1):
        _, content = run(PlantedDevice(whole(lambda _: 1.4)), "--again", str(again), "--near", "0")
        assert len(content["verification"]["rounds"]) == again + 1


def test_a_machine_that_changed_is_told_and_is_exit_code_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, content = run(PlantedDevice(lambda chain: 1.12 * sum(map(alone_ms, chain))))
    assert (code, content["verification"]["same_machine"]) == (1, False)
    assert {made["machine_pct"] for made in content["verification"]["rounds"]} == {12.0}
    assert "controls: +12.0 % against the table" in capsys.readouterr().out


def test_latencies_of_a_frontier_as_limits(run: Run, made: Path) -> None:
    frontier = found(made / "frontier")
    given = ["--result", str(made / "frontier" / "result.json")]
    code, content = run(PlantedDevice(whole(lambda _: 1.0)), *given, "--limits", "3", "--near", "1")
    assert code == 0
    found_ms = sorted(r["latency_ms"] for r in frontier)
    taken = [found_ms.index(r["predicted_ms"]) for r in content["results"]]
    assert taken == [round(share * (len(found_ms) - 1)) for share in (0.25, 0.5, 0.75)]
    for result in content["results"]:
        assert result["predicted_ms"] <= result["limit_ms"] < 1.01 * result["predicted_ms"]
        assert float(f"{result['limit_ms']:.3g}") == result["limit_ms"]
    with pytest.raises(InputError, match=r"--limits is for a frontier: .* was searched within limits of its own"):
        run(PlantedDevice(whole(lambda _: 1.0)), "--limits", "3")


@pytest.mark.parametrize("name", ["verified.png", "verified.accuracy.json", "verified.json"])
def test_all_that_is_written_at_the_end_is_looked_at_before_anything_is_measured(
    run: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    device = PlantedDevice(whole(lambda _: 1.0))
    given = ["--checkpoint", str(SUPERNET), "--data", str(tmp_path)]
    with pytest.raises(InputError, match=rf"{name} is a folder: name a file"):
        run(device, *given)
    assert device.visits == 0
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_a_command_in_a_message_can_be_typed(made: Path, tmp_path: Path) -> None:
    table = tmp_path / "an o'dd folder" / "d.csv"
    table.parent.mkdir()
    write_table(table, sum_correction="scale=1.1")
    with pytest.raises(InputError) as raised:
        main(["--table", str(table), "--result", str(made / "result.json"), "--out", str(tmp_path / "v.json")])
    command = str(raised.value).partition("search again: ")[2]
    assert shlex.split(command) == ["python", "-m", "ofa.search", "--table", str(table)]


@pytest.mark.parametrize(("shipped", "begins"), [(True, ["--subnet"]), (False, ["--checkpoint", "W", "--subnet"])])
def test_the_export_that_comes_next_names_weights_where_none_are_shipped(
    shipped: bool, begins: list[str], run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_shipped = "profilers.verifying.verification_report.is_shipped"
    monkeypatch.setattr(is_shipped, lambda name: shipped and name == SPACE.name)
    run(PlantedDevice(whole(lambda _: 1.0)))
    told = shlex.split(capsys.readouterr().out.partition("next: python -m ofa.export ")[2])
    assert told[: len(begins)] == begins


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    given = ["--table", "t.csv", "--result", str(tmp_path / "result.json")]
    for more, words in (
        (["--out", "v.csv"], "--out is v.csv, expected a file that ends in .json"),
        (["--out", str(tmp_path / "result.json")], "--out is the result itself"),
        (["--checkpoint", "w.safetensors"], "give both --checkpoint and --data"),
        (["--visits", "1"], "--visits is 1, expected at least 2: odd ones choose, even ones certify"),
    ):
        with pytest.raises(UsageError, match=words):
            main([*given, *more])


def test_another_processor_is_refused_before_a_visit(run: Run) -> None:
    device = PlantedDevice(whole(lambda _: 1.0), hello=Hello("planted", RUNTIME, {"cpu_model": "other"}))
    with pytest.raises(InputError, match="was measured on planted, this is other"):
        run(device)
    assert device.visits == 0


def test_networks_that_the_table_was_not_checked_on_are_told(
    run: Run, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LatencyTable.load(made / "d.csv").with_error("mean 2 %", (0.4, 0.6)).save(tmp_path / "d.csv")
    _, content = run(PlantedDevice(whole(lambda _: 1.0)), "--near", "0", "--table", str(tmp_path / "d.csv"))
    networks = content["verification"]["networks"]
    outside = sum(not 0.4 <= network["predicted_ms"] <= 0.6 for network in networks)
    assert 0 < outside < len(networks)
    said = " ".join(capsys.readouterr().out.split())
    assert f"of 0.4 to 0.6 ms; {outside} of {len(networks)} are outside: there its sums are less sure; here" in said
