"""`python -m profilers.verify --sustained`: what was chosen runs in a loop, on a device whose minutes are planted."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError, UsageError
from ofa.search.__main__ import main as search
from ofa.tables import LatencyTable
from ofa.tables.control_networks import ControlNetwork, control_networks
from profilers.looping.minutes import WINDOWS
from profilers.measuring.events import AgentFailed, Begins, Done, Event, Result
from profilers.verify import main
from tests.profilers.verifying.searched import SPACE, whole, write_table
from tests.profilers.whole_networks.planted import PlantedDevice

LIMIT = 0.5


class Hot(PlantedDevice):
    """Its networks take what was predicted, and in a loop `minutes_ms`; at window `at` it does `end`."""

    def __init__(self, minutes_ms: list[float], at: int = -1, end: Callable[[], Event | None] = lambda: None) -> None:
        super().__init__(whole(lambda _: 1.0))
        self.minutes_ms, self.at, self.end = minutes_ms, at, end
        self.loops, self.asked = 0, dict[str, Any]()

    def _agent(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        if "sustained" not in manifest:
            yield from super()._agent(folder, manifest)
            return
        self.loops += 1
        self.asked = dict(manifest)
        assert (folder / manifest["models"][0]["path"]).is_file()
        yield self.hello
        for i, name in enumerate(manifest["visits"]):
            yield Begins(i, name)
            if i == self.at:
                self.end()
            samples = [round(self.minutes_ms[i // WINDOWS] * 1e6)] * 3
            watched = {"loop_ns": i * 5 * 10**9, "timed_ns": 5 * 10**9, "late": 0, "temperature_c_after": 40 + i}
            yield Result(i, name, samples, samples, 1, watched)
        yield Done()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and what a search in it found."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_table(folder / "d.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ofa.search.__main__.draw_frontier", lambda *_: None)
        assert search(["--table", str(table), "--latency", "0.35", str(LIMIT), "--out", str(folder)]) == 0
    return folder


Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Verifies the result on a device, and runs a loop; the exit code and the file."""

    def verify(device: Hot, *options: str) -> tuple[int, dict[str, Any]]:
        def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
            return device.measure(plan, target, rules, seed, journal=journal)

        monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
        monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
        monkeypatch.setattr("profilers.verifying.verification_report.draw", lambda *_: False)
        given = ["--table", str(made / "d.csv"), "--result", str(made / "result.json")]
        if "--latency" not in options:
            given += ["--latency", str(LIMIT)]
        out = tmp_path / "verified.json"
        code = main([*given, "--out", str(out), "--quick", "--again", "0", "--near", "0", "--rest", "0", *options])
        return code, json.loads(out.read_text())

    return verify


def test_a_network_that_slows_is_told_by_the_minute(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = Hot([0.38, 0.4, 0.45, 0.52, 0.53])
    code, content = run(device, "--sustained", "5m", "--rate", "30")
    assert code == 1
    assert device.asked["sustained"] == {"window_seconds": 5, "rate_hz": 30}
    (result,) = content["results"]
    found = result["sustained"]
    assert (found["burst_ms"], found["sustained_ms"], found["factor"]) == (0.38, 0.525, 1.3816)
    assert (found["burst_minutes"], found["sustained_minutes"]) == ([1, 1], [4, 5])
    assert found["over_verified"] == pytest.approx(0.525 / result["latency_ms"], abs=1e-4)
    assert [minute["median_ms"] for minute in found["minutes"]] == device.minutes_ms
    assert [minute["temperature_c"] for minute in found["minutes"]] == [40 + 12 * n - 1 for n in range(1, 6)]
    assert found["loop"]["rate_hz"] == 30
    assert found["rests_on"].startswith("one network, run 30 times a second for 5 minutes after 0 s of rest (20")
    out = capsys.readouterr().out
    assert "minute 4 of 5: 0.52 ms, 95 % within 0.52 ms, 36 runs; up to 87.0 C; about 1 min left" in out
    assert "minute 1: 0.38 ms; minutes 4-5: 0.525 ms, 1.38 times (standard error" in out
    assert "the limit of 0.5 ms is no longer kept in minutes 4-5" in out
    assert (tmp_path / "verified.sustained-5m-30hz.journal.jsonl").is_file()
    # a loop of another length is run alone, and what was chosen stays
    again = Hot([0.38] * 2)
    code, content = run(again, "--resume", "--sustained", "2m")
    assert (code, again.visits, again.loops) == (0, 0, 1)


def test_a_loop_that_was_made_is_read_as_it_was(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    _, expected = run(Hot([0.38, 0.4]), "--sustained", "2m")
    before = capsys.readouterr().out
    assert "the limit of 0.5 ms is still kept in minute 2" in before
    again = Hot([0.1, 0.1])
    code, content = run(again, "--sustained", "2m", "--resume")
    assert (code, again.visits, again.loops) == (0, 0, 0)
    assert content["results"] == expected["results"]
    assert [line for line in before.splitlines() if line.startswith("minute 1")][1] in capsys.readouterr().out


def interrupt() -> None:
    raise KeyboardInterrupt


def die() -> None:
    raise AgentFailed("the agent was ended by signal 9")


def test_ctrl_c_and_a_dead_agent_leave_the_minutes_told_and_nothing_half_written(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = [0.38, 0.4, 0.41, 0.42]
    with pytest.raises(SystemExit) as left:
        run(Hot(minutes, at=29, end=interrupt), "--sustained", "4m")
    assert left.value.code == 130
    err = capsys.readouterr().err
    assert "stopped after 2 of 4 minutes (0.38, 0.4 ms); begin the loop again with: python -m profilers.verify" in err
    assert err.rstrip().endswith("--resume")
    assert "sustained" not in json.loads((tmp_path / "verified.json").read_text())["results"][0]
    with pytest.raises(InputError, match=r"ended by signal 9 after 3 of 4 minutes \(0\.38, 0\.4, 0\.41 ms\); begin"):
        run(Hot(minutes, at=36, end=die), "--sustained", "4m", "--resume")
    assert "the loop begins again: the device has cooled since it was ended" in capsys.readouterr().out
    whole_again = Hot(minutes)
    code, content = run(whole_again, "--sustained", "4m", "--resume")
    assert (code, whole_again.visits, whole_again.loops) == (0, 0, 1)
    assert len(content["results"][0]["sustained"]["minutes"]) == 4
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"verified.json", "verified.1.journal.jsonl", "verified.sustained-4m.journal.jsonl"}


def test_what_cannot_run_in_a_loop_is_refused_before_anything_is_measured(run: Run, made: Path, tmp_path: Path) -> None:
    device = Hot([0.4, 0.4])
    with pytest.raises(InputError, match=r"runs one network, and there are limits of 0\.35, 0\.5 ms: name one"):
        run(device, "--latency", "0.35", "0.5", "--sustained", "2m")
    for facts, words in (
        ({"agent": "cuda"}, "was measured by the agent 'cuda', which runs no loops"),
        ({"agent": "android", "runtime": "benchmark_model (x)"}, "was measured by benchmark_model, which runs no"),
    ):
        table = write_table(tmp_path / "d.csv", **facts)
        assert search(["--table", str(table), "--latency", "0.5", "--out", str(tmp_path)]) == 0
        with pytest.raises(InputError, match=words):
            main(["--table", str(table), "--result", str(tmp_path / "result.json"), "--sustained", "2m"])
    assert (device.visits, device.loops) == (0, 0)
    given = ["--table", str(made / "d.csv"), "--result", str(made / "result.json")]
    for options, words in (
        (["--rate", "30"], "--rate is for a loop: add its length, such as --sustained 10m"),
        (["--sustained", "90s"], "'90s' is not a time in whole minutes or hours, such as 10m or 1h"),
        (["--sustained", ""], "'' is not a time in whole minutes"),
        (["--sustained", "1m"], "--sustained is 1, expected minutes from 2 to 1440"),
        (["--sustained", "10m", "--rate", "0.1"], "--rate is 0.1, expected runs a second from 0.2 to 10000"),
    ):
        with pytest.raises(UsageError, match=words):
            main([*given, *options])


def test_a_doubtful_loop_says_why(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    class Busy(Hot):
        def _agent(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
            for event in super()._agent(folder, manifest):
                if isinstance(event, Result) and "sustained" in manifest:
                    event = Result(event.visit, event.id, event.samples_ns, [1] * 3, 1, event.watched)
                yield event

    _, content = run(Busy([0.4, 0.4]), "--sustained", "2m")
    doubts = content["results"][0]["sustained"]["doubts"]
    assert doubts == [f"in minute {n} something else had the CPU in 100% of the runs" for n in (1, 2)]
    assert "? in minute 2 something else had the CPU in 100% of the runs: the figures may" in capsys.readouterr().out


def test_a_factor_is_recorded_in_the_table_and_a_search_takes_it_off(
    run: Run, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made / "d.csv"
    before = table.read_text()
    try:
        code, content = run(Hot([0.5, 0.62]), "--sustained", "2m", "--record")
        assert code == 1
        (result,) = content["results"]
        found = LatencyTable.load(table).sustained
        assert found is not None
        # of short visits, as the table is, and not of the loop's first minute
        assert found.factor == result["sustained"]["over_verified"] == round(0.62 / result["latency_ms"], 4)
        assert found.sums == LatencyTable.load(table).sums
        assert found.rests_on == result["sustained"]["rests_on"]
        (network,) = control_networks({"control_networks": found.network}, "", SPACE)
        assert network == ControlNetwork(SPACE.subnet_from_dict(result["subnet"]), result["latency_ms"])
        assert f"wrote its factor, {found.factor:g}, into {table}" in capsys.readouterr().out
        # the rounds are still of this table
        again = Hot([0.38, 0.38])
        assert run(again, "--sustained", "2m", "--rate", "30", "--resume", "--record")[0] == 0
        assert (again.visits, again.loops) == (0, 1)
        faster = LatencyTable.load(table).sustained
        assert faster is not None
        assert (faster.factor, "30 times a second" in faster.rests_on) == (1, True)
        # a search for a hot device is verified by short visits within less
        LatencyTable.load(table).with_sustained(found).save(table)
        out = tmp_path / "hot"
        asked = ["--table", str(table), "--latency", "0.6", "0.7", "--sustained", "--out", str(out)]
        assert search(asked) == 0
        hot = json.loads((out / "result.json").read_text())["results"][0]
        device = Hot([0.59, 0.59])
        code, content = run(device, "--result", str(out / "result.json"), "--latency", "0.6", "--sustained", "2m")
        assert code == 0
        (result,) = content["results"]
        assert result["limit_ms"] == pytest.approx(0.6 / found.factor, abs=1e-6)
        assert result["latency_ms"] <= result["limit_ms"]
        assert result["found"]["subnet"] == hot["subnet"]
        assert "the limit of 0.6 ms is still kept in minute 2" in capsys.readouterr().out
    finally:
        table.write_text(before)


def test_nothing_is_recorded_of_a_doubtful_loop_nor_into_a_table_that_was_changed(run: Run, made: Path) -> None:
    table = made / "d.csv"
    before = table.read_bytes()

    def edit() -> None:
        first, *rest = LatencyTable.load(table).rows
        LatencyTable(LatencyTable.load(table).header, [replace(first, latency_ms=9.0), *rest]).save(table)

    try:
        with pytest.raises(InputError, match=r"d\.csv was changed while its network was measured: nothing is recorded"):
            run(Hot([0.4, 0.4], at=20, end=edit), "--sustained", "2m", "--record")
    finally:
        table.write_bytes(before)

    class Still(Hot):
        def _agent(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
            for event in super()._agent(folder, manifest):
                if isinstance(event, Result) and "sustained" in manifest and event.visit > 5:
                    late = {**event.watched, "loop_ns": event.watched["loop_ns"] + 30 * 10**9}
                    event = replace(event, watched=late)
                yield event

    with pytest.raises(InputError, match=r"nothing is recorded in .*d\.csv: in minute 1 the loop stood still for 30"):
        run(Still([0.4, 0.4]), "--sustained", "2m", "--record")
    assert table.read_bytes() == before
    with pytest.raises(UsageError, match="--record is for a loop: add its length, such as --sustained 10m"):
        run(Hot([]), "--record")
