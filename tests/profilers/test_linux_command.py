"""Boards over ssh, against a real sshd on loopback: tables, whole networks, loops and suggestions."""

import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_params
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks
from profilers.devices.access_options import AccessOptions
from profilers.devices.board.ssh import Board, Facts
from profilers.devices.from_header import open_target
from profilers.devices.identity import device_id, machine_identity
from profilers.devices.sent_files import sent_folder
from profilers.estimating import measured, quickest
from profilers.linux import main
from profilers.looping.loop import make_loop
from profilers.looping.minutes import WINDOWS, LoopPlan
from profilers.measuring.events import Done, Result
from profilers.measuring.models import write_models
from profilers.measuring.pace import CPU_PACE
from profilers.measuring.plan import make_plan
from profilers.measuring.run import measure_on
from profilers.transfer import main as transfer
from profilers.whole_networks.choosing import Chosen, controls_of
from profilers.whole_networks.measured import measure_networks, of_table
from tests.profilers.boards import Sshd, agent_on, inodes, manifest


def test_a_table_is_made_over_ssh_and_the_second_time_nothing_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    out = tmp_path / "board.csv"
    command = ["--host", "board", "--ssh-config", str(sshd.config), "--resolutions", "160", "--limit", "3"]
    command += ["--quick", "--rounds", "1", "--out", str(out)]
    assert main(command) == 0
    table = LatencyTable.load(out)
    assert len(table.rows) == 3
    assert table.header["runtime"] == "ai-edge-litert 2.3.0"
    assert (table.header["delegate"], table.header["provenance"]) == ("xnnpack", "measured")
    # the board is this machine, in a namespace of its own
    assert table.header["device_id"] == device_id("board", machine_identity())
    sent = inodes(sshd.home)
    assert len(sent) == 3 + 1 + 3 + 1, "agent, runtime, bundle.json; three models; and both lists of sums"
    assert main([*command, "--overwrite"]) == 0
    assert inodes(sshd.home) == sent


def test_blocks_are_timed_in_networks_on_the_board(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CPU_PACE.in_place is not None
    for rules in (CPU_PACE.in_place.blocks, CPU_PACE.in_place.parts):
        monkeypatch.setitem(rules, "warmup_seconds", 0)
        monkeypatch.setitem(rules, "max_seconds", 0.002)
    out = tmp_path / "board.csv"
    words = ["--host", "board", "--ssh-config", str(sshd.config), "--space", "mbv3-w0.35", "--num-classes", "10"]
    assert main([*words, "--resolutions", "32", "--quick", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert (table.timing, table.coverage(get_space("mbv3-w0.35", 10)).complete) == ("in place", (32,))
    assert all(row.warm_ms is not None and row.warm_ms > 0 and row.latency_ms > 0 for row in table.rows)
    assert re.match(r"\d+ parts of 9 networks: a block is ", table.header["in_place"])
    assert table.header["in_place"].endswith("12 whole networks are their blocks")
    assert "blocks_not_in_place" not in table.header


def test_files_that_come_into_a_folder_between_two_agents_are_sent_and_the_older_folder_goes(
    sshd: Sshd, models: Path
) -> None:
    agent, board = agent_on(Board("board", sshd.config)), Board("board", sshd.config)
    assert sum(isinstance(event, Result) for event in agent.start(models, manifest(["b00000"], 0.0))) == 1
    older = sent_folder("models", {path.name: path for path in models.glob("*.tflite")}).name
    assert older in board.run('ls "$1"', ".cache/ofa-latency").split()
    # a network whose parts come later, as those of one that failed do
    for number in (0, 1):
        shutil.copy(models / f"b0000{number}.tflite", models / f"p-{number}.tflite")
    asked = manifest(["p", "b00001"], 0.0)
    asked["models"] = [{"id": "p", "parts": ["p-0.tflite"]}, {"id": "b00001", "path": "b00001.tflite"}]
    results = [event for event in agent.start(models, asked) if isinstance(event, Result)]
    assert [(result.id, result.parts_ns is not None) for result in results] == [("p", True), ("b00001", False)]
    assert older not in board.run('ls "$1"', ".cache/ofa-latency").split()


def test_models_that_do_not_fit_together_go_to_the_board_in_batches(sshd: Sshd, tmp_path: Path) -> None:
    board, told = Board("small", sshd.config), list[str]()
    blocks = all_blocks(get_space("mbv3-w1.0"), [32])
    plan = make_plan([(block,) for block in blocks[:20]], 1, 0)
    write_models(plan.models, "tflite", tmp_path, batch=1)
    visits = [visit.model for visit in plan.visits]
    agent = agent_on(board, told.append)
    events = [*agent.start(tmp_path, manifest(visits, 0.0))]
    assert re.search(r"the models do not fit on small together: they go there in [23] batches", told[-1])
    made = [(event.visit, event.id) for event in events if isinstance(event, Result)]
    assert made == list(enumerate(visits))
    assert isinstance(events[-1], Done) and sum(isinstance(event, Done) for event in events) == 1
    # a later pass over few of them is a batch too
    assert sum(isinstance(event, Result) for event in agent.start(tmp_path, manifest(visits[:3], 0.0))) == 3
    assert board.run('ls "$1"', ".cache/ofa-latency").split() == [agent.folder], "no batch stays"
    large = tmp_path / "large"
    large.mkdir()
    write_models({"b00000": (max(blocks, key=block_params),)}, "tflite", large, batch=1)
    with pytest.raises(InputError, match=r"no space left on small: .* needs \d+ MB, \d+ MB are free: delete something"):
        next(agent.start(large, manifest(["b00000"], 0.0)))


def test_whole_networks_are_measured_on_the_board_of_a_table_one_measurement_after_another(
    sshd: Sshd, tmp_path: Path
) -> None:
    space = get_space("mbv3-w0.35")
    blocks, genes = all_blocks(space, [32]), space.sample(np.random.default_rng(0), 3, resolutions=[32])
    cpu = str(max(os.sched_getaffinity(0)))
    header = {
        "device": "B", "runtime": "ai-edge-litert 2.3.0", "space": space.name, "source": "a test", "agent": "linux",
        "provenance": "measured", "threads": "1", "delegate": "xnnpack", "cpus": cpu,
    }  # fmt: skip
    table = LatencyTable(header, [TableRow(block, 0.01) for block in blocks], tmp_path / "board.csv")
    with (
        pytest.raises(InputError, match=r"board\.csv was measured on a board: name it by --host"),
        open_target(table, AccessOptions(), 60.0, print),
    ):
        pass
    rules = {**manifest([], 0.0)["rules"], "max_runs": 3}
    with open_target(table, AccessOptions(host="board", ssh_config=sshd.config), 60.0, print) as target:
        for number, some in enumerate((genes[:2], genes[2:])):
            journal = Journal.create(tmp_path / f"{number}.jsonl", {})
            measure = partial(measure_quietly, journal=journal, folder=tmp_path / str(number))
            chosen = Chosen(space, some, controls_of(table, 1))
            found = measure_networks(chosen, of_table(target, table), measure, visits=2, seed=0, rules=rules)
            # how many visits are good depends on how busy the machine is; that each was made on the board does not
            assert [network is not None for network in found.networks] == [True] * len(some)
            assert (found.failed, found.hello.agent) == ({}, "android")
            journal.close()


def test_a_network_runs_in_a_loop_on_the_board(sshd: Sshd, tmp_path: Path) -> None:
    header = {
        "device": "B", "runtime": "ai-edge-litert 2.3.0", "space": "mbv3-w0.35", "source": "a test", "agent": "linux",
        "provenance": "measured", "threads": "1", "delegate": "xnnpack", "cpus": str(max(os.sched_getaffinity(0))),
    }  # fmt: skip
    chain = tuple(all_blocks(get_space("mbv3-w0.35"), [32])[:1])
    table = LatencyTable(header, [TableRow(chain[0], 0.01)], tmp_path / "board.csv")
    journal = Journal.create(tmp_path / "loop.jsonl", {})
    access = AccessOptions(host="board", ssh_config=sshd.config)
    with open_target(table, access, 60.0, print, fixed_performance=False) as target:
        plan = LoopPlan(2, 200.0, minute_s=0.12)
        loop = make_loop(journal, of_table(target, table), chain, plan, 0, lambda _: None)
    journal.close()
    assert len(loop.windows) == 2 * WINDOWS
    assert [window["setup_ns"] > 0 for window in loop.windows] == [True] + [False] * (2 * WINDOWS - 1)


def test_suggested_networks_are_measured_on_a_board_and_make_a_table(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "ROUNDS", 1)
    monkeypatch.setattr(measured, "RULES", {**manifest([], 0.0)["rules"], "max_runs": 3})
    out = tmp_path / "b.csv"
    words = ["--suggest", "2", "--from", "note10", "--space", "mbv3-w0.35", "--resolutions", "32,64", "--out", str(out)]
    words += ["--host", "board", "--ssh-config", str(sshd.config)]
    agent_on(Board("board", sshd.config)).send_agent()
    there = inodes(sshd.home)
    assert transfer([*words, "--num-classes", "10"]) == 0
    table, times = LatencyTable.load(out), read_networks(tmp_path / "b.networks.csv")
    assert (table.provenance, table.header["runtime"], table.header["threads"]) == (
        "estimated", "ai-edge-litert 2.3.0", "1",
    )  # fmt: skip
    assert table.coverage(get_space("mbv3-w0.35", 10)).complete == (32, 64)
    assert "scaled to 2 whole networks: measured by profilers.transfer, each in 1 visits" in table.header["source"]
    assert table.header["cpus"] == times.header["cpus"]
    assert len(times.networks) == 2 and (times.latency_ms > 0).all()
    made = Journal.read(tmp_path / "b.networks.journal.jsonl")
    assert {record["id"] for record in made.records if record["kind"] == "result"} == {"b00000", "b00001"}
    assert inodes(sshd.home) == there, "networks do not stay"
    with pytest.raises(InputError, match=r"b.networks.csv exists: replace it with --overwrite"):
        transfer(words)
    with pytest.raises(InputError, match="--suggest is 3: name a table of a related device with --from, or measure at"):
        transfer(["--suggest", "3", "--host", "board", "--out", str(tmp_path / "c.csv")])


def test_a_few_networks_in_one_word_make_a_table_of_a_board_that_is_estimated(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickest, "NETWORKS", 2)
    monkeypatch.setattr(measured, "ROUNDS", 1)
    monkeypatch.setattr(measured, "RULES", {**manifest([], 0.0)["rules"], "max_runs": 3})
    out, there = tmp_path / "b.csv", inodes(sshd.home)
    words = ["--host", "board", "--ssh-config", str(sshd.config), "--quickest", "--space", "mbv3-w0.35"]
    assert main([*words, "--num-classes", "10", "--resolutions", "32,64", "--name", "B", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert (table.provenance, table.device, table.header["delegate"]) == ("estimated", "B", "xnnpack")
    assert table.coverage(get_space("mbv3-w0.35", 10)).complete == (32, 64)
    assert "2 networks" in str(table.expected_error)
    assert {name for name in inodes(sshd.home) if "models-" in name} <= set(there), "networks do not stay"


def measure_quietly(plan: Any, target: Any, rules: Any, seed: int, *, journal: Journal, folder: Path) -> Any:
    folder.mkdir()
    return measure_on(target, plan, rules, seed, journal, folder, lambda *_: None)


def test_an_unknown_machine_is_said(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts: Callable[[Board], Facts] = lambda _: Facts("armv7l", (0,), {})  # noqa: E731
    monkeypatch.setattr(Board, "facts", facts)
    with pytest.raises(InputError, match="there is no agent for armv7l"):
        main(["--host", "board", "--ssh-config", str(sshd.config), "--out", str(tmp_path / "x.csv")])
