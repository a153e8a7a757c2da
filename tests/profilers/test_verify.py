"""`python -m profilers.verify` on a device whose latencies are planted: which network keeps each limit, as measured."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.checkpoints.shipped import WEIGHTS
from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.weights import read_image_facts
from ofa.errors import Infeasible, InputError, UsageError
from ofa.export.config import ExportConfig
from ofa.export.inputs import open_inputs
from ofa.runs.files import write_json
from ofa.runs.lock import Lock
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.measuring.events import Hello
from profilers.verify import main
from profilers.verifying.choice import NEAR
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice

SPACE, RESOLUTIONS, LIMITS = get_space("mbv3-w0.35", 10), (48, 72, 96), (0.35, 0.5, 0.68)
SUPERNET = WEIGHTS / f"{SPACE.name}.safetensors"
FACTS = {"runtime": RUNTIME, "soc": SOC, "provenance": "measured", "space": SPACE.name, "source": "a test"}


def alone_ms(block: Block) -> float:
    return round(0.01 + block_macs(block) / 2e7, 6)


def whole(factor: Callable[[Sequence[Block]], float]) -> Callable[[Sequence[Block]], float]:
    """Blocks take what the table says, networks a factor of their sums."""
    return lambda chain: sum(map(alone_ms, chain)) * (1.0 if len(chain) == 1 else factor(chain))


def write_table(path: Path, **facts: str) -> Path:
    rows = [TableRow(block, alone_ms(block)) for block in all_blocks(SPACE, RESOLUTIONS)]
    LatencyTable({"device": "D", **FACTS, **facts}, rows).save(path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and what a search in it found."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_table(folder / "d.csv")
    limits = [f"{limit:g}" for limit in LIMITS]
    assert search(["--table", str(table), "--latency", *limits, "--out", str(folder)]) == 0
    assert search(["--table", str(table), "--out", str(folder / "frontier")]) == 0
    return folder


Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Verifies the result on a device; the exit code and the file."""

    def verify(device: PlantedDevice, *options: str) -> tuple[int, dict[str, Any]]:
        def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
            return device.measure(plan, target, rules, seed, journal=journal)

        monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
        monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
        if "--plotted" not in options:
            monkeypatch.setattr("profilers.verifying.verification_report.draw", lambda *_: False)
        given = ["--table", str(made / "d.csv"), "--result", str(made / "result.json")]
        out = tmp_path / "verified.json"
        code = main([*given, "--out", str(out), "--quick", *(o for o in options if o != "--plotted")])
        return code, json.loads(out.read_text())

    return verify


def found(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "result.json").read_text())["results"]


def sums(result: Mapping[str, Any]) -> float:
    return sum(map(alone_ms, blocks_of(SPACE, SPACE.subnet_from_dict(result["subnet"]))))


def keeps(result: Mapping[str, Any]) -> bool:
    return max(result["odd_ms"], result["even_ms"]) <= result["limit_ms"]


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


def scattered(chain: Sequence[Block]) -> float:
    """A factor of each network's own, 10 % either way."""
    rng = np.random.default_rng(sum(map(block_macs, chain)))
    return 1.1 * float(np.exp(0.1 * rng.standard_normal()))


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


class Stopped(Exception):
    """The process is killed."""


class Dying(PlantedDevice):
    """Is killed at a visit."""

    def __init__(self, at: int, **how: Any) -> None:
        super().__init__(**how)
        self.at = at

    def _visit(self, visit: int, name: str, chain: Sequence[Block]) -> Any:
        if self.visits == self.at:
            raise Stopped
        return super()._visit(visit, name, chain)


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_run_that_is_resumed_measures_only_what_it_lacks(run: Run, tmp_path: Path, share: float) -> None:
    how = whole(scattered)
    uninterrupted = PlantedDevice(how)
    _, expected = run(uninterrupted)
    assert len(expected["verification"]["rounds"]) == 2
    for old in tmp_path.iterdir():
        old.unlink()
    dying = Dying(round(share * uninterrupted.visits), latency_ms=how)
    with pytest.raises(Stopped):
        run(dying)
    assert not (tmp_path / "verified.json").exists()
    rest = PlantedDevice(how)
    _, content = run(rest, "--resume")
    assert dying.visits + rest.visits == uninterrupted.visits
    for key in ("results", "not_kept"):
        assert content[key] == expected[key]
    # of an older run nothing is left where there is a new one
    run(PlantedDevice(whole(lambda _: 1.0)))
    assert len(list(tmp_path.glob("verified.*.journal.jsonl"))) == 1


def test_what_was_measured_on_a_busy_machine_is_measured_again(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    how = whole(lambda _: 1.0)
    _, expected = run(PlantedDevice(how), "--again", "0")
    # a round of 12 networks and 6 blocks, 6 visits each, is made three times at most
    busy = PlantedDevice(how, busy=3 * 6 * 18)
    code, content = run(busy, "--again", "1")
    assert (code, content["verification"]["rounds"][0]["doubtful"]) == (1, 12)
    assert "12 networks measured, 12 of them while the machine was busy or drifted" in capsys.readouterr().out
    for key in ("subnet", "latency_ms", "doubtful"):
        assert [r[key] for r in content["results"]] == [r[key] for r in expected["results"]]
    # without another round it is said
    _, content = run(PlantedDevice(how, busy=10**6), "--again", "0")
    assert {n["doubtful"] for n in content["verification"]["networks"]} == {True}
    assert "? most visits of 12 networks were beside drift, or the machine was busy" in capsys.readouterr().out


def test_another_run_is_not_gone_on_with(run: Run) -> None:
    run(PlantedDevice(whole(lambda _: 1.0)))
    with pytest.raises(InputError, match="was begun with near = 3, but this one has 2"):
        run(PlantedDevice(whole(lambda _: 1.0)), "--near", "2", "--resume")


def test_what_failed_in_a_finished_round_is_not_tried_again(run: Run, made: Path, tmp_path: Path) -> None:
    lost = tuple(blocks_of(SPACE, SPACE.subnet_from_dict(found(made)[1]["subnet"])))
    visits = []

    def fails(chain: Sequence[Block]) -> bool:
        """The second visit of one network."""
        visits.append(tuple(chain))
        return tuple(chain) == lost and visits.count(lost) > 1

    _, expected = run(PlantedDevice(whole(lambda _: 1.2), fails=fails))
    assert expected["results"][1]["found"] is None
    assert expected["verification"]["rounds"][0]["failed"] == 1
    # the last round is gone: the first is read as it was
    journals = sorted(tmp_path.glob("verified.*.journal.jsonl"))
    journals[-1].write_bytes(journals[-1].read_bytes().split(b"\n")[0] + b"\n")
    _, content = run(PlantedDevice(whole(lambda _: 1.2)), "--resume")
    assert content["results"] == expected["results"]


def test_another_run_at_the_same_file_is_named(run: Run, tmp_path: Path) -> None:
    with Lock(tmp_path / "verified.json"), pytest.raises(InputError, match="is being written by"):
        run(PlantedDevice(whole(lambda _: 1.0)))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"provenance": "estimated"}, "is estimated: only a table measured on this machine can be verified on it"),
        ({"emulated": "yes"}, "was measured on an emulated device"),
        ({"batch": "8"}, "in a table whose batch is missing, that of .* is '8': search again"),
        ({"device": "E"}, "in a table whose device is 'D', that of .* is 'E'"),
        ({"space": "mbv3-w0.35, mbv3-w1.0"}, "in a table whose space is"),
        (
            {"sum_correction": "scale=1.1"},
            r"in other rows or by another sum_correction than .* has now: measured, validat",
        ),
    ],
)
def test_a_result_of_another_table_is_refused(made: Path, tmp_path: Path, facts: dict[str, str], words: str) -> None:
    table = write_table(tmp_path / "d.csv", **facts)
    with pytest.raises(InputError, match=words):
        main(["--table", str(table), "--result", str(made / "result.json"), "--out", str(tmp_path / "v.json")])
    assert {path.name for path in tmp_path.iterdir()} == {"d.csv"}


def edited(content: Any, place: Sequence[str | int], value: Any) -> Any:
    """JSON with another value at a place."""
    if not place:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[place[0]] = edited(copy[place[0]] if place[0] in copy or isinstance(copy, list) else None, place[1:], value)
    return copy


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["verification"], {}, "was verified: name the result.json that it was made of"),
        (["tables"], {"e\x1b": {}}, "is of 'e.x1b', not of"),
        (["tables"], 3, "tables is of another kind"),
        (["tables", "d"], [1], "is of 'd', not of"),
        (["settings"], 3, "settings is of another kind"),
        (["settings", "together"], True, "holds one network for several tables"),
        (["settings", "kernel_sizes"], "357", "--kernel-sizes is '357', expected a list"),
        (["settings", "kernel_sizes"], [9], "mbv3-w0.35 has no 9 among its kernel sizes"),
        (["settings", "max_macs"], "many", "--max-macs is 'many', expected"),
        (["settings", "max_macs"], -1, "result.json: --max-macs is -1, expected a number above 0"),
        (["settings", "method"], "guess", "--method is 'guess', expected"),
        (
            ["settings", "predictor", "sha256"],
            "0" * 64,
            "was searched by another predictor than the one that is shipped",
        ),
        (["settings", "predictor"], None, "was searched by another predictor than the one that is shipped"),
        (["settings", "latency"], [], "was searched without latency limits: name them by --latency, or how many"),
        (
            ["predictor"],
            {"path": "gone.safetensors"},
            "by the predictor 'gone.safetensors', which is not there: name it",
        ),
        (["predictor"], {"path": "\0"}, "which is not there"),
        (["predictor"], [], "predictor is of another kind"),
        (["results"], [], "was searched within 0.35 ms, but its results have no network for that limit: deleted or"),
        (["results"], 3, "results is of another kind"),
        (["results"], [3], "results.0. is 3, expected what ofa.search writes"),
        (["results", 1, "limit_ms"], "5", "results.1..limit_ms is '5', expected a number of milliseconds"),
        (
            ["results", 1, "limit_ms"],
            0.001,
            "within 0.5 ms, but its results have no network for that limit: deleted or ed",
        ),
        (["settings", "latency"], 3, "settings.latency is 3, expected a list of milliseconds"),
        (["settings", "latency"], ["5"], "settings.latency.0. is '5', expected a number of milliseconds"),
        (["results", 0, "latency_ms"], None, "results.0..latency_ms is missing, expected a number of milliseconds"),
        (
            ["results", 0, "latency_ms"],
            0.1,
            "results.0. takes 0.1 ms, but .* as it is now: measured or validated again",
        ),
        (
            ["results", 0, "subnet", "resolution"],
            64,
            "results.0. is of 64 px, which the table and the predictor do not",
        ),
        (["results", 0, "subnet", "depths"], [9] * 5, "not a sub-network of mbv3-w0.35"),
        (["space"], "mbv3-w9", "mbv3-w9"),
        (["num_classes"], 11, "the predictor's accuracies are of 10 classes"),
    ],
)
def test_a_result_that_cannot_be_gone_on_with_is_refused(
    made: Path, tmp_path: Path, place: list[str | int], value: Any, words: str
) -> None:
    content = json.loads((made / "result.json").read_text())
    write_json(
        tmp_path / "result.json",
        edited({"verification": None, **content} if place[0] == "verification" else content, place, value),
    )
    with pytest.raises(InputError, match=words) as refused:
        main(["--table", str(made / "d.csv"), "--result", str(tmp_path / "result.json")])
    message = str(refused.value)
    assert (message.isprintable(), "result.json" in message, len(message) < 400) == (True, True, True), message
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_table_that_was_edited_since_is_refused_though_no_found_network_uses_the_block(
    made: Path, tmp_path: Path
) -> None:
    table = LatencyTable.load(made / "d.csv")
    used = {block for r in found(made) for block in blocks_of(SPACE, SPACE.subnet_from_dict(r["subnet"]))}
    unused = next(row for row in table.rows if row.block not in used)
    edited_rows = [replace(row, latency_ms=2 * row.latency_ms) if row is unused else row for row in table.rows]
    LatencyTable(table.header, edited_rows).save(tmp_path / "d.csv")
    given = ["--table", str(tmp_path / "d.csv"), "--out", str(tmp_path / "v.json"), "--result"]
    with pytest.raises(
        InputError, match=r"was searched in other rows or by another sum_correction than .*d.csv has now"
    ):
        main([*given, str(made / "result.json")])
    # results of before that was said: what their own networks take by the table is compared
    older = json.loads((made / "result.json").read_text())
    del older["tables"]["d"]["sums"]
    LatencyTable({**table.header, "sum_correction": "scale=1.1"}, table.rows).save(tmp_path / "d.csv")
    write_json(tmp_path / "older.json", older)
    with pytest.raises(InputError, match=r"results\[0\] takes .* ms, but .* ms by .* as it is now: measured or valid"):
        main([*given, str(tmp_path / "older.json")])


def test_a_frontier_without_its_networks_is_no_frontier(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "frontier" / "result.json").read_text())
    write_json(tmp_path / "result.json", {**content, "results": []})
    given = ["--table", str(made / "d.csv"), "--result", str(tmp_path / "result.json")]
    with pytest.raises(
        InputError, match=r"result.json has no results of .*d.csv: deleted or edited since; search again"
    ):
        main([*given, "--limits", "3"])


def test_limits_of_a_result_without_any_and_limits_below_the_least(made: Path, tmp_path: Path, run: Run) -> None:
    given = ["--table", str(made / "d.csv"), "--result", str(made / "frontier" / "result.json")]
    with pytest.raises(InputError, match="was searched without latency limits: name them by --latency"):
        main([*given, "--out", str(tmp_path / "v.json")])
    with pytest.raises(Infeasible, match=r"runs within 0\.01 ms on D: the fastest takes"):
        main([*given, "--latency", "0.01", "--out", str(tmp_path / "v.json")])
    code, content = run(PlantedDevice(whole(lambda _: 1.0)), "--latency", "0.4")
    assert (code, [(r["limit_ms"], r["found"]) for r in content["results"]]) == (0, [(0.4, None)])


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
