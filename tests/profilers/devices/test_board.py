"""A board over ssh: files that are sent, connections that are lost, and cores that are chosen."""

import json
import os
import signal
from pathlib import Path

import pytest

from ofa.errors import InputError
from profilers.devices.board.board_target import chosen_cpus
from profilers.devices.board.ssh import Board, Facts
from profilers.devices.sent_files import sent_folder
from profilers.measuring.events import Begins, Hello
from tests.profilers.boards import Sshd, agent_on, manifest


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
    with pytest.raises(InputError, match="the connection to board was lost: continue with --resume"):
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
