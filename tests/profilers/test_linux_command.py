"""Boards over ssh: against a real sshd on loopback, in a user namespace of its own, started by whoever runs this."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.android import bundle
from ofa.blocks import all_blocks
from ofa.blocks.costs import block_params
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks
from profilers.devices.access_options import AccessOptions
from profilers.devices.board.board_target import AgentOnBoard, chosen_cpus
from profilers.devices.board.ssh import SPARE, Board, Facts
from profilers.devices.from_header import open_target
from profilers.devices.sent_files import sent_folder
from profilers.estimating import measured
from profilers.linux import main
from profilers.looping.loop import make_loop
from profilers.looping.minutes import WINDOWS, LoopPlan
from profilers.measuring.events import Begins, Done, Hello, Result
from profilers.measuring.models import write_models
from profilers.measuring.pace import CPU_PACE
from profilers.measuring.plan import make_plan
from profilers.measuring.run import measure_on
from profilers.transfer import main as transfer
from profilers.whole_networks.choosing import Chosen, controls_of
from profilers.whole_networks.measured import measure_networks, of_table

CONFIG = """
Host board
    User me
Host small
    User small
Host *
    HostName 127.0.0.1
    Port {port}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""
SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
"""
# sshd as a user without rights: as root it wants a user of its own. The home of `small` is a disk of $3 bytes. $1:
# the folder, $2: sshd
START = (
    'mount --bind "$1/passwd" /etc/passwd && mount -t tmpfs -o "size=$3,mode=0777" tmpfs "$1/small" && '
    'exec unshare -U --map-user=1000 --map-group=1000 "$2" -D -e -r -f "$1/sshd_config"'
)


@dataclass
class Sshd:
    """home: where those who log in begin; config: how ssh finds it as `board`; pid: of the server"""

    home: Path
    config: Path
    pid: int

    def connections(self) -> list[int]:
        """The processes that serve those who are logged in: two a connection, and what they run."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found[1:]


def sshd_program(folder: Path) -> tuple[str, dict[str, str]]:
    """sshd and the environment it needs: installed, or of Debian's packages; skips the test where there is neither."""
    if installed := shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return installed, {}
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("there is no sshd here, and no apt-get to fetch it")
    got = subprocess.run(["apt-get", "download", "openssh-server", "libwrap0"], cwd=folder, capture_output=True)
    if got.returncode:
        pytest.skip("there is no sshd here, and apt-get cannot fetch it: apt-get install openssh-server")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    libraries = {str(path.parent) for path in (folder / "root").rglob("lib*.so*")}
    return str(folder / "root/usr/sbin/sshd"), {"LD_LIBRARY_PATH": ":".join(libraries)}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("ssh") is None:
        pytest.skip("needs x86-64 Linux and ssh")
    if subprocess.run(["unshare", "-U", "-r", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a user namespace is not to be had here")
    folder = tmp_path_factory.mktemp("sshd")
    program, environment = sshd_program(folder)
    # the agent fits, with the space that stays free, and a few models
    agent = bundle.make("x86_64")
    small = sum((agent.folder / name).stat().st_size for name in agent.files) + SPARE + 450_000
    for home in ("home", "small"):
        (folder / home).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("key", "hostkey"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    users = (("me", "home"), ("small", "small"))
    (folder / "passwd").write_text("".join(f"{name}:x:1000:1000::{folder}/{home}:/bin/sh\n" for name, home in users))
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "-U", "-r", "-m", "sh", "-c", START, "sh", folder, program, str(small)],
            env={**os.environ, **environment}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            for _ in range(600):
                if "listening" in (folder / "log").read_text() or process.poll() is not None:
                    break
                time.sleep(0.1)
            if process.poll() is not None:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text()[-300:]}")
            yield Sshd(folder / "home", folder / "config", process.pid)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with the models b00000 and b00001."""
    folder = tmp_path / "models"
    folder.mkdir()
    blocks = all_blocks(get_space("mbv3-w1.0"), [160])[:2]
    write_models(make_plan([(block,) for block in blocks], 1, 0).models, "tflite", folder, batch=1)
    return folder


def manifest(visits: list[str], seconds: float) -> dict:
    rules = {
        "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 1, "max_runs": 10**9, "max_seconds": seconds,
        "target_error": 0, "min_sample_us": 50,
    }  # fmt: skip
    named = [{"id": name, "path": f"{name}.tflite"} for name in set(visits)]
    cpus = [max(os.sched_getaffinity(0))]
    return {
        "protocol": 1, "runtime": "tflite", "threads": 1, "cpus": cpus, "seed": 0, "rules": rules, "models": named,
        "visits": visits,
    }  # fmt: skip


def agent_on(board: Board, say: Callable[[str], object] = lambda _: None) -> AgentOnBoard:
    made = bundle.make("x86_64")
    files = {name: made.folder / name for name in made.files}
    return AgentOnBoard(board, files, made.start_command, 60, say)


def inodes(home: Path) -> dict[str, int]:
    """Every file of ours on the board but manifests, which are new for every agent."""
    files = (path for path in (home / ".cache").rglob("*") if path.name != "manifest.json" and path.is_file())
    return {str(path.relative_to(home)): path.stat().st_ino for path in files}


def test_a_table_is_made_over_ssh_and_the_second_time_nothing_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    out = tmp_path / "board.csv"
    command = ["--host", "board", "--ssh-config", str(sshd.config), "--resolutions", "160", "--limit", "3"]
    command += ["--quick", "--rounds", "1", "--out", str(out)]
    assert main(command) == 0
    table = LatencyTable.load(out)
    assert len(table.rows) == 3
    assert table.header["runtime"] == "ai-edge-litert 2.3.0"
    assert (table.header["delegate"], table.header["provenance"]) == ("xnnpack", "measured")
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


def measure_quietly(plan: Any, target: Any, rules: Any, seed: int, *, journal: Journal, folder: Path) -> Any:
    folder.mkdir()
    return measure_on(target, plan, rules, seed, journal, folder, lambda *_: None)


def test_files_that_were_spoilt_there_are_sent_again(sshd: Sshd, models: Path) -> None:
    board = Board("board", sshd.config)
    files = {path.name: path for path in models.glob("*.tflite")}
    wanted = sent_folder("models", files)
    board.ensure(wanted)
    there = sshd.home / ".cache/ofa-latency" / wanted.name / "b00000.tflite"
    there.write_bytes(b"spoilt")
    board.ensure(wanted)
    assert there.read_bytes() == files["b00000.tflite"].read_bytes()


def test_a_lost_connection_is_no_blocks_fault(sshd: Sshd, models: Path) -> None:
    events = agent_on(Board("board", sshd.config)).start(models, manifest(["b00000", "b00001"], seconds=600))
    assert [type(next(events)) for _ in range(2)] == [Hello, Begins]
    for pid in sshd.connections():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(InputError, match="the connection to board was lost: go on by --resume"):
        next(events)


def test_an_agent_that_dies_on_the_board_is_told_from_a_lost_connection(sshd: Sshd, models: Path) -> None:
    board = Board("board", sshd.config)
    wanted = sent_folder("models", {path.name: path for path in models.glob("*.tflite")})
    board.ensure(wanted)
    folder = wanted.name
    said = json.dumps({"type": "hello", "protocol": 1, "runtime": "r", "device": {}})
    for end, message in (
        ("exit 3", "exited with code 3; its last words: a reason"),
        ("kill -9 $$", "ended by signal 9"),
    ):
        script = f"echo '{said}'; echo a reason >&2; {end}"
        events = board.agent(folder, folder, ["sh", "-c", script], manifest([], 0), timeout_s=60)
        next(events)
        with pytest.raises(Exception, match=message):
            next(events)


def test_a_board_that_takes_no_files_says_why(sshd: Sshd, models: Path) -> None:
    board = Board("board", sshd.config)
    base = sshd.home / ".cache/ofa-latency"
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"board refuses: .*Permission denied"):
            board.ensure(sent_folder("models", {"x": next(models.glob("*.tflite"))}))
    finally:
        base.chmod(0o700)


def test_a_board_that_is_not_there_is_said(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(sshd.config.read_text().replace("Port ", "Port 1 # "))
    with pytest.raises(InputError, match=r"ssh cannot reach board: .*refused; nothing is asked for here.*ssh-copy-id"):
        Board("board", config).facts()
    config.write_text(sshd.config.read_text().replace("User me", "User nobody-here"))
    with pytest.raises(InputError, match=r"ssh cannot reach board: .*Permission denied"):
        Board("board", config).facts()


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch /tmp/x", "-", "a b", "a\nb", "a\0b"])
def test_what_is_no_host_never_reaches_ssh(host: str) -> None:
    with pytest.raises(InputError, match="expected a name for ssh such as"):
        Board(host, None)


def test_names_reach_the_remote_shell_as_they_are(sshd: Sshd) -> None:
    odd = "a b'c\"$(touch x)`touch x`;*\\"
    assert Board("board", sshd.config).run('printf %s "$1"', odd) == odd
    argv = Board("pi@board", None).argv("true")
    assert argv[argv.index("pi@board") - 1] == "--"


def test_the_configuration_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no ssh configuration"):
        Board("board", tmp_path / "gone")


@pytest.mark.parametrize(
    ("asked", "threads", "chosen"),
    [(None, 1, [5]), (None, 2, [4, 5]), (None, 3, [4, 5, 7]), (None, 4, [3, 4, 5, 7]), ((1, 0), 1, [0, 1])],
)
def test_the_fastest_cores_are_chosen(asked: tuple[int, ...] | None, threads: int, chosen: list[int]) -> None:
    facts = Facts("aarch64", (0, 1, 2, 3, 4, 5, 7), {**dict.fromkeys(range(4), 1800), 4: 2400, 5: 2400, 7: 2000})
    assert chosen_cpus(facts, asked, threads) == chosen


def test_a_cluster_of_a_board_is_chosen() -> None:
    capacity = {**dict.fromkeys(range(4), 400), 4: 1024, 5: 1024}
    facts = Facts("aarch64", (0, 1, 2, 3, 4), dict.fromkeys(range(6), 1800), capacity)
    assert chosen_cpus(facts, None, None, "little") == [0, 1, 2, 3]
    assert chosen_cpus(facts, None, None, "big") == [4]
    with pytest.raises(InputError, match="--cores middle: the board has only a little and a big cluster"):
        chosen_cpus(facts, None, None, "middle")


@pytest.mark.parametrize(
    ("asked", "threads", "message"),
    [
        (None, 3, "--threads is 3, but the board lets us use 2 CPUs"),
        ((2,), 1, "--cpu names CPU 2, the board has 0, 1"),
    ],
)
def test_cores_that_are_not_there_are_refused(asked: tuple[int, ...] | None, threads: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_cpus(Facts("aarch64", (0, 1), {}), asked, threads)


def test_an_unknown_machine_is_said(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts: Callable[[Board], Facts] = lambda _: Facts("armv7l", (0,), {})  # noqa: E731
    monkeypatch.setattr(Board, "facts", facts)
    with pytest.raises(InputError, match="there is no agent for armv7l"):
        main(["--host", "board", "--ssh-config", str(sshd.config), "--out", str(tmp_path / "x.csv")])
