"""A lab's Ray that goes away is noticed by us before Ray itself ends the process, and the user is told how to go on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError
from profilers.lab import head as heads
from profilers.lab.cluster import RayHosts
from profilers.lab.config import RunLabConfig
from profilers.lab.head import HeadGone, LabHead, place_of
from profilers.lab.run.runs import run_lab

HEAD, PART = "its head", "its part on this host"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PROBE_S", 0.05), ("GONE_S", 0.2), ("STUCK_S", 0.3)):
        monkeypatch.setattr(heads, name, seconds)


def nobody() -> tuple[str, int]:
    """A place where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return made.getsockname()[:2]  # type: ignore[no-any-return]


@pytest.mark.usefixtures("hasty")
def test_what_does_not_answer_is_named_and_what_comes_back_in_time_is_waited_for(listening: socket.socket) -> None:
    there, gone = listening.getsockname(), nobody()
    LabHead({}).require()
    LabHead({HEAD: there, PART: there}).require()
    with pytest.raises(HeadGone, match="its part on this host has not answered for 0 s"):
        LabHead({HEAD: there, PART: gone}).require()
    with pytest.raises(HeadGone, match="its head has not"):
        LabHead({HEAD: gone, PART: there}).require()
    later: list[socket.socket] = []
    threading.Timer(0.1, lambda: later.append(socket.create_server(gone))).start()
    LabHead({HEAD: gone}).require()
    later[0].close()


@pytest.mark.usefixtures("hasty")
def test_every_question_to_the_hosts_asks_for_ray_first() -> None:
    hosts: Any = RayHosts(LabHead({HEAD: nobody()}))
    questions = (hosts.look, hosts.doing, lambda: hosts.poll({}), lambda: hosts.stop({}))
    questions += (lambda: hosts.begin("a", None, {}), lambda: hosts.forget("a", []))  # type: ignore[assignment]
    for ask in questions:
        with pytest.raises(HeadGone):
            ask()


@pytest.mark.usefixtures("hasty")
def test_a_process_that_hangs_in_a_call_of_ray_is_ended_with_the_same_words(
    listening: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = list[int]()
    LabHead({HEAD: listening.getsockname()}).end_if_stuck("went away", ended.append)
    left = LabHead({HEAD: nobody()})
    left.end_if_stuck("x", ended.append)
    left.leave()
    time.sleep(0.5)
    assert not ended
    listening.close()
    until = time.monotonic() + 30
    while not ended and time.monotonic() < until:
        time.sleep(0.05)
    assert ended == [2]
    assert capsys.readouterr().err == "error: went away\n"


def test_it_is_over_before_ray_ends_the_process() -> None:
    """Ray takes 60 s (RAY_gcs_rpc_server_reconnect_timeout_s)."""
    assert heads.GONE_S + 3 * heads.PROBE_S < heads.STUCK_S < 60 - 3 * heads.PROBE_S


@pytest.mark.usefixtures("hasty")
def test_a_run_keeps_its_journal_when_ray_goes_away(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[[job]]\nname = "t"\ncommand = "profile"\n')
    config = RunLabConfig(config=tmp_path / "lab.toml", out=tmp_path / "out")
    with pytest.raises(HeadGone):
        run_lab(config, RayHosts(LabHead({HEAD: nobody()})), print, len)
    assert not issubclass(HeadGone, InputError)  # `connected` makes it one, with the command that goes on


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.7.0.1:6379", ("10.7.0.1", 6379)),
        ("ray://head:10001", ("head", 10001)),
        ("[::1]:6379", ("::1", 6379)),
        ("auto", None),
        ("head", None),
        ("head:x", None),
        ("head:99999", None),
    ],
)
def test_the_place_of_an_address(address: str, place: tuple[str, int] | None) -> None:
    assert place_of(address) == place
