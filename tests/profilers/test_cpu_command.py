"""`python -m profilers.cpu`, with the real agent and real runtimes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError, UsageError
from ofa.runs.journal import Journal
from ofa.space import get_space
from ofa.tables import LatencyTable
from profilers.cpu import main
from profilers.devices.local_cpu import AGENT, chosen_cpus
from profilers.measuring import models
from profilers.measuring.pace import CPU_PACE
from tests.helpers.short import hasty_visits, undoubted_visits
from tests.ofa.model_files.planted import with_later_operators

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "64", "--quick"]


def command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "profilers.cpu", *arguments]


def run(arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command(arguments), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def _hasty(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test is about is not the time, but in one."""
    if "live" not in request.keywords:
        hasty_visits(monkeypatch)


@pytest.mark.live
@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite", "tflite-runtime", "torch"])
def test_a_profile_becomes_a_measured_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    undoubted_visits(monkeypatch)
    if runtime == "tflite-runtime":
        pytest.importorskip("tflite_runtime", reason="tflite-runtime has wheels up to Python 3.11")
    out = tmp_path / "t.csv"
    assert main([*SMALL, "--runtime", runtime, "--limit", "5", "--rounds", "1", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    space = get_space("mbv3-w0.35")
    assert [row.block for row in table.rows] == list(all_blocks(space, [64])[:5])
    assert table.provenance == "measured"
    assert table.header["limit"] == "the first 5 of 96 blocks"
    assert table.timing == "warm"
    assert table.header["runtime"].split()[0] == {"tflite": "ai-edge-litert"}.get(runtime, runtime)
    results = [json.loads(line) for line in out.with_suffix(".journal.jsonl").read_text().splitlines()]
    visits = [r for r in results if r["kind"] == "result"]
    assert all(min(r["samples_ns"]) > 0 and r["warmup_ns"] > 0 for r in visits)
    fastest, slowest = (float(factor) for factor in table.header["slowness"].split(" to "))
    for number, row in enumerate(table.rows):
        own = [r for r in visits if r["id"] == f"b{number:05d}"]
        # however busy this machine is: of a visit's runs at least half count, by the wall or by the thread's own time
        assert CPU_PACE.quick["min_runs"] / 2 <= row.runs <= sum(len(r["samples_ns"]) for r in own)
        least = min(min(*r["samples_ns"], *r["cpu_ns"]) / r["calls_per_sample"] for r in own)
        most = max(max(r["samples_ns"]) / r["calls_per_sample"] for r in own)
        for figure in (row.latency_ms, row.p90_ms):
            assert least / slowest <= figure * 1.001e6 and figure * 0.999e6 <= most / fastest
        assert 0.0001 < row.latency_ms < 1000


def test_a_complete_table_covers_its_resolution_and_is_measured_in_place(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    arguments = [*SMALL, "--rounds", "1", "--out", str(out)]
    main(arguments)
    space, table = get_space("mbv3-w0.35"), LatencyTable.load(out)
    assert table.coverage(space).complete == (64,)
    assert table.timing == "in place"
    assert table.header["in_place"].startswith("42 parts of 9 networks: a block is ")
    # the networks that are timed whole among the blocks are used, not only listed
    assert table.header["in_place"].endswith("; 12 whole networks are their blocks")
    assert len({row.warm_ms for row in table.rows}) > 80
    # networks are no blocks, and their visits no rows
    assert len(table.rows) == 96
    assert [row.block for row in table.rows] == list(all_blocks(space, [64]))
    # what was measured is taken up from the journal again, parts and all
    assert main([*arguments, "--resume"]) == 0
    again = LatencyTable.load(out)
    assert [(row.latency_ms, row.visits_ms) for row in again.rows] == [(r.latency_ms, r.visits_ms) for r in table.rows]


def test_a_block_that_runs_alone_but_in_no_model_with_others_is_named_and_all_are_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space, written = get_space("mbv3-w0.35"), models._write
    bad = all_blocks(space, [32])[50]

    def damaged(name: str, chain: tuple[Block, ...], runtime: str, write: Any, keep: Any, batch: int) -> str:
        is_bad = bad in chain and len(chain) > 1 and "-" in name  # a part, and no whole network
        return written(name, chain, runtime, (lambda _: b"no model") if is_bad else write, keep, batch)

    monkeypatch.setattr(models, "_write", damaged)
    out = tmp_path / "t.csv"
    arguments = ["--space", "mbv3-w0.35", "--resolutions", "32", "--runtime", "tflite", "--quick", "--rounds", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"fails in networks: {bad}: it runs alone, but not in one model with its neighbours: ValueError: " in said
    assert "3 of 9 networks in which blocks are timed do not run whole: ValueError: " in said
    table = LatencyTable.load(out)
    assert [row.block for row in table.rows] == list(all_blocks(space, [32]))
    assert table.timing == "in place"
    assert table.header["networks_in_pieces"] == "3, which do not run whole, as 3 pieces"
    assert table.header["blocks_failed_in_networks"] == "1"
    assert "blocks_not_in_place" not in table.header
    # and a search goes on with the table, as any other
    assert table.coverage(space).complete == (32,)


def test_a_runtime_that_runs_no_network_in_parts_times_blocks_alone_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "device_agents" / "cpu"
    shutil.copytree(AGENT.parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied.parent / "__init__.py").touch()  # or another folder named by PYTHONPATH would come before it
    runtimes = (copied / "runtimes.py").read_text()
    chains = 'Runtime("ai-edge-litert", load_litert, load_litert_parts)'
    assert chains in runtimes
    (copied / "runtimes.py").write_text(runtimes.replace(chains, 'Runtime("ai-edge-litert", load_litert)'))
    monkeypatch.setattr("profilers.devices.local_cpu.AGENT", copied / "agent.py")
    out = tmp_path / "t.csv"
    arguments = ["--space", "mbv3-w0.35", "--resolutions", "32", "--runtime", "tflite", "--quick", "--rounds", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.count("tflite cannot run the parts of a network") == 1
    assert "every block was timed alone, and the table's timing is warm; --timing warm --overwrite gives" in said
    table = LatencyTable.load(out)
    assert (table.timing, len(table.rows)) == ("warm", 96)
    assert all(row.warm_ms is None for row in table.rows)


def test_timing_alone_is_asked_for_or_comes_with_a_limit(tmp_path: Path) -> None:
    asked = [
        "--space",
        "mbv3-w0.35",
        "--resolutions",
        "32",
        "--quick",
        "--rounds",
        "1",
        "--out",
        str(tmp_path / "t.csv"),
    ]
    assert main([*asked, "--timing", "warm"]) == 0
    table = LatencyTable.load(tmp_path / "t.csv")
    assert table.timing == "warm"
    assert all(row.warm_ms is None for row in table.rows)
    with pytest.raises(UsageError, match="--limit times blocks alone: --timing in-place needs all of them"):
        main([*asked, "--timing", "in-place", "--limit", "3", "--overwrite"])
    # what was typed is named, and not what follows from it
    with pytest.raises(InputError, match="was begun with --timing warm, this one has --timing in-place: continue with"):
        main([*asked, "--resume"])


# the command, whose agent says no more than so much until the command is ended: on the slowest machine it has measured
# something by then, on the fastest it has not measured all
HELD = """
import runpy, sys, time
from itertools import islice
from profilers.devices import local_cpu
agent, events_in_all = local_cpu.local_agent, int(sys.argv.pop())
def held(*given):
    events = agent(*given)
    yield from islice(events, events_in_all)
    time.sleep(600)
local_cpu.local_agent = held
runpy.run_module("profilers.cpu", run_name="__main__", alter_sys=True)
"""


def in_the_middle(arguments: list[str], journal: Path, visits: int) -> subprocess.Popen[str]:
    """A profile that has measured so much, and no more."""
    process = subprocess.Popen(
        # a hello, and two events of a visit
        [sys.executable, "-c", HELD, *arguments, str(1 + 2 * visits)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs ignore SIGINT, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not journal.exists() or journal.read_bytes().count(b'"kind": "result"') < visits:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_a_killed_profile_goes_on_and_loses_at_most_the_block_in_flight(tmp_path: Path) -> None:
    out, journal = tmp_path / "t.csv", tmp_path / "t.journal.jsonl"
    arguments = [*SMALL, "--limit", "30", "--rounds", "1", "--out", str(out)]
    process = in_the_middle(arguments, journal, 25)
    process.kill()
    process.communicate()
    assert not out.exists()
    before = journal.read_bytes()
    held = [json.loads(line) for line in before.splitlines(keepends=True) if line.endswith(b"\n")]
    kept = {(r["pass"], r["number"]): r["samples_ns"] for r in held if r.get("kind") == "result"}
    assert len(kept) == 25
    refused = run(arguments)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "is the journal of an interrupted run: continue it with --resume" in refused.stderr
    other = run([*arguments, "--resume", "--seed", "5"])
    assert other.returncode == 2
    assert "was begun with seed = 0, but this one has 5" in other.stderr
    assert run([*arguments, "--resume"]).returncode == 0
    after = [json.loads(line) for line in journal.read_text().splitlines()]
    numbers = [(r["pass"], r["number"]) for r in after if r.get("kind") == "result"]
    assert len(numbers) == len(set(numbers)), "a visit that was on disk was made again"
    assert {key: kept[key] for key in kept} == {
        (r["pass"], r["number"]): r["samples_ns"]
        for r in after
        if r.get("kind") == "result" and (r["pass"], r["number"]) in kept
    }
    assert len(LatencyTable.load(out).rows) == 30


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_profile_says_how_to_go_on(tmp_path: Path, ended_by: signal.Signals) -> None:
    out, journal = tmp_path / "t.csv", tmp_path / "t.journal.jsonl"
    process = in_the_middle([*SMALL, "--out", str(out)], journal, 5)
    process.send_signal(ended_by)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "continue with: python -m profilers.cpu" in stderr
    assert stderr.rstrip().endswith("--resume")
    assert "Traceback" not in stderr
    assert not out.exists()


def test_an_existing_table_is_never_lost(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    out.write_text("precious")
    with pytest.raises(InputError, match="exists: continue it with --resume, or start again with --overwrite"):
        main([*SMALL, "--out", str(out)])
    with pytest.raises(InputError, match=r"there is no journal .* to resume"):
        main([*SMALL, "--out", str(out), "--resume"])
    assert out.read_text() == "precious"


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_table_of_another_space_is_not_offered_to_be_continued(tmp_path: Path, resume: list[str]) -> None:
    out, journal = tmp_path / "t.csv", tmp_path / "t.journal.jsonl"
    main([*SMALL, "--limit", "1", "--out", str(out)])
    other = [*SMALL, "--space", "mbv3-w0.5", "--limit", "1", "--out", str(out), *resume]
    for there in (out, journal):  # the second time, the journal alone
        words = f"{there.name} is of mbv3-w0.35, and a profiler measures one space into one table: name another --out"
        with pytest.raises(InputError, match=words):
            main(other)
        out.unlink(missing_ok=True)
    assert Journal.read(journal).settings["space"] == "mbv3-w0.35"
    if not resume:
        journal.write_text("{")
        with pytest.raises(InputError, match="is the journal of an interrupted run"):
            main(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "my net"], "`ofa costs 'my net'` lists its blocks"),
        (["--space", "mobilenet_v2"], "a single network is no space: `ofa costs mobilenet_v2` lists its blocks"),
        (["--space", "my/list.json"], "a single network is no space: .* profilers.validate with --also times it"),
        (["--runtime", "tvm"], "unknown runtime 'tvm'"),
        (["--space", "mbv9"], "unknown space 'mbv9'"),
        (["--resolutions", "8"], "resolution 8 is not within 32 to 1024"),
        (["--threads", "0"], "--threads is 0, expected at least 1"),
        (["--threads", "9999"], "--threads is 9999, but this process may use"),
        (["--cpu", "9999"], "--cpu names CPU 9999, this process may use"),
        (["--cpu", "x"], "--cpu: 'x', expected numbers such as 3 or 2,3"),
        (["--limit", "-1"], "--limit is -1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(["--space", "mbv3-w0.35", "--quick", "--out", str(tmp_path / "t.csv"), *arguments])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["table.txt", "."])
def test_the_output_is_a_csv_file(tmp_path: Path, out: str) -> None:
    with pytest.raises(InputError, match=r"expected a file that ends in \.csv"):
        main([*SMALL, "--out", str(tmp_path / out)])


def test_the_last_cpus_are_taken_unless_others_are_named() -> None:
    available = sorted(os.sched_getaffinity(0))
    assert chosen_cpus(None, 1) == available[-1:]
    assert chosen_cpus([available[0]], 1) == available[:1]


def test_int8_operators_that_the_runtime_lacks_are_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = models._write

    def planted(name: str, chain: tuple[Block, ...], runtime: str, write: Any, *rest: Any) -> str:
        return written(name, chain, runtime, lambda graph: with_later_operators(write(graph), "CONV_2D"), *rest)

    monkeypatch.setattr(models, "_write", planted)
    words = [*SMALL, "--limit", "9", "--runtime", "tflite", "--dtype", "int8", "--out", str(tmp_path / "t.csv")]
    lacks = r"ai-edge-litert [\d.]+ lacks the operator CONV_2D of version 99: install a newer version of it"
    with pytest.raises(InputError, match=f"no block could be measured, and no table was written: {lacks}"):
        main(words)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert re.search(f" and 6 more: {lacks}", line)
    assert not (tmp_path / "t.csv").exists()
