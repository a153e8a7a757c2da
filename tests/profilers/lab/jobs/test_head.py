"""A lab's Ray that goes away is noticed by us before Ray itself ends the process, and the user is told how to go on."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ofa.errors import InputError
from profilers.lab import cluster
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


@pytest.fixture
def closed() -> Iterator[socket.socket]:
    """A place where nobody listens, and nobody else can."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made


@pytest.mark.usefixtures("hasty")
def test_what_does_not_answer_is_named_and_what_comes_back_in_time_is_waited_for(
    listening: socket.socket, closed: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, gone = listening.getsockname(), closed.getsockname()
    LabHead({}).require()
    LabHead({HEAD: there, PART: there}).require()
    with pytest.raises(HeadGone, match="its part on this host has not answered for 0 s"):
        LabHead({HEAD: there, PART: gone}).require()
    with pytest.raises(HeadGone, match="its head has not"):
        LabHead({HEAD: gone, PART: there}).require()
    # however late this machine lets it come back
    monkeypatch.setattr(heads, "GONE_S", 600.0)
    later = threading.Timer(0.1, closed.listen)
    later.start()
    LabHead({HEAD: gone}).require()
    later.join()


@pytest.mark.usefixtures("hasty")
def test_every_question_to_the_hosts_asks_for_ray_first(closed: socket.socket) -> None:
    hosts: Any = RayHosts(LabHead({HEAD: closed.getsockname()}))
    questions = (hosts.look, hosts.doing, lambda: hosts.poll({}), lambda: hosts.stop({}))
    questions += (lambda: hosts.begin("a", None, {}), lambda: hosts.forget("a", []))  # type: ignore[assignment]
    for ask in questions:
        with pytest.raises(HeadGone):
            ask()


def test_each_host_is_asked_of_its_own_jobs_and_one_that_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: Any = RayHosts(LabHead({}))
    hosts._actors = {
        name: SimpleNamespace(look=SimpleNamespace(remote=lambda marks, name=name: (name, marks))) for name in "abc"
    }
    monkeypatch.setattr(cluster, "answers", lambda asked, *_: dict(asked))  # all at once, without Ray
    wanted = {name: {f"job of {name}": {}} for name in "dcba"}
    found = hosts.poll(wanted)
    assert str(found.pop("d")) == "it is not announced any more"
    assert found == {name: (name, wanted[name]) for name in "abc"}


@pytest.mark.usefixtures("hasty")
def test_a_process_that_hangs_in_a_call_of_ray_is_ended_with_the_same_words(
    listening: socket.socket, closed: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # a tenth of a second passes whenever the clock is looked at, and not while this machine stands still
    clock, looked = itertools.count(0, 0.1), list[float]()

    def monotonic() -> float:
        looked.append(next(clock))
        return looked[-1]

    monkeypatch.setattr(heads, "STUCK_S", 1.0)
    monkeypatch.setattr(heads, "time", SimpleNamespace(monotonic=monotonic, sleep=time.sleep))
    ended = list[int]()
    LabHead({HEAD: listening.getsockname()}).end_if_stuck("went away", ended.append)
    left = LabHead({HEAD: closed.getsockname()})
    left.end_if_stuck("x", ended.append)
    left.leave()
    while len(looked) < 20 and not ended:
        time.sleep(0.01)
    assert not ended
    listening.close()
    while not ended:
        time.sleep(0.05)
    assert ended == [2]
    assert capsys.readouterr().err == "error: went away\n"


def test_it_is_over_before_ray_ends_the_process() -> None:
    """Ray takes 60 s (RAY_gcs_rpc_server_reconnect_timeout_s)."""
    assert heads.GONE_S + 3 * heads.PROBE_S < heads.STUCK_S < 60 - 3 * heads.PROBE_S


@pytest.mark.usefixtures("hasty")
def test_a_run_keeps_its_journal_when_ray_goes_away(closed: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('[[job]]\nname = "t"\ncommand = "profile"\n')
    config = RunLabConfig(config=tmp_path / "lab.toml", out=tmp_path / "out")
    with pytest.raises(HeadGone):
        run_lab(config, RayHosts(LabHead({HEAD: closed.getsockname()})), print, len)
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
        ("head:65535", ("head", 65535)),
        ("head:65536", None),
    ],
)
def test_the_place_of_an_address(address: str, place: tuple[str, int] | None) -> None:
    assert place_of(address) == place
