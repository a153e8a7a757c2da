"""Phones that an adb server of this computer holds. A few lines stand in for it; tests/phone asks a real one."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ofa.errors import InputError
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.server import Server, ServerPushFailed, ServerRefused, adb_server


@contextmanager
def serving(answer: Callable[[str], list[bytes]]) -> Iterator[Server]:
    """A server that answers each request of a connection by some bytes, and closes after the last."""

    def serve() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            with connection:
                while length := connection.recv(4, socket.MSG_WAITALL):
                    request = connection.recv(int(length, 16), socket.MSG_WAITALL).decode()
                    said.append(request)
                    for piece in answer(request):
                        connection.sendall(piece)
                    if not request.startswith("host:transport"):
                        break

    said: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Server("127.0.0.1", server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def devices(text: str) -> Callable[[str], list[bytes]]:
    return lambda _: [b"OKAY%04x" % len(text), text.encode()]


@pytest.mark.parametrize(
    ("listed", "serial", "message"),
    [
        ("R58\tunauthorized\n", "R58", "R58 does not accept the key of this computer's adb server: unlock the phone"),
        ("R58\tunauthorized\n", None, "Auto Blocker"),
        ("R58\toffline\n", "R58", "R58 is offline, by this computer's adb server: unplug it, plug it in again"),
        ("A\tdevice\nB\tdevice\n", None, r"2 phones are attached \(A, B\): choose one by --serial"),
    ],
)
def test_what_the_server_cannot_use_is_said(
    monkeypatch: pytest.MonkeyPatch, listed: str, serial: str | None, message: str
) -> None:
    with serving(devices(listed)) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        with pytest.raises(InputError, match=message):
            Adb(serial).connect()


def test_the_only_phone_of_the_server_needs_no_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: str) -> list[bytes]:
        if request == "host:devices":
            return devices("R58\tdevice\nS1\toffline\n")(request)
        # a shell's answer comes in any pieces
        return [b"OKAY"] if request.startswith("host:") else [b"OKAY", b"hel", b"lo\nRC", b"=3\n"]

    with serving(answer) as server:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{server.port}")
        with Adb(None) as phone:
            phone.connect()
            said = phone.run("exit 3")
    assert (said.code, said.text) == (3, "hello")


@pytest.mark.parametrize(
    "answer", [lambda _: [b"HTTP/1.1 400\r\n"], lambda _: [b"OKAYzzzz"], lambda _: [b"FAIL0002no"]]
)
def test_what_is_no_adb_server_has_no_phones(answer: Callable[[str], list[bytes]]) -> None:
    with serving(answer) as server:
        assert server.devices() is None
    assert server.devices() is None, "nobody listens"


def test_the_servers_words_are_handed_on() -> None:
    with serving(lambda _: [b"FAIL0010device not found"]) as server, pytest.raises(ServerRefused, match="not found"):
        list(server.stream("R58", "true", 5))


def test_a_silent_phone_is_lost() -> None:
    over = threading.Event()

    def answer(request: str) -> list[bytes]:
        if request.startswith("shell:"):
            over.wait()
        return [b"OKAY"]

    with serving(answer) as server:
        with pytest.raises(TimeoutError):
            list(server.stream("R58", "sleep 100", 0.1))
        over.set()


def test_a_refused_push_gives_the_phones_reason() -> None:
    with (
        serving(lambda request: [b"OKAY", *([b"FAIL\x05\0\0\0full!"] if request == "sync:" else [])]) as server,
        pytest.raises(ServerPushFailed, match="full!"),
    ):
        server.push("R58", io.BytesIO(bytes(300_000)), "/data/local/tmp/x", 5)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "5038"}, ("127.0.0.1", 5038)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "10.0.0.2"}, ("10.0.0.2", 5037)),
        ({"ADB_SERVER_SOCKET": "tcp:5039"}, ("127.0.0.1", 5039)),
        ({"ADB_SERVER_SOCKET": "tcp:build-host:5040"}, ("build-host", 5040)),
    ],
)
def test_the_server_is_where_adbs_own_variables_say(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: tuple[str, int]
) -> None:
    for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_PORT", "ANDROID_ADB_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (adb_server().host, adb_server().port) == address
