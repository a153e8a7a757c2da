"""A phone through an adb server of this computer, such as Android Studio's: it holds the phone, and comes back.

The host's side of adb's own protocol ("host:..." on port 5037). No library is used: adbutils 2.12 starts a server where
there is none, which then holds the phone, and writes with `send`, which may drop the end of a large push.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

DEFAULT_PORT = 5037
CONNECT_S = 2.0
CHUNK = 64 << 10  # bytes, the most that adb's sync service takes at once
LONGEST_WORDS = 1 << 16


class ServerRefused(Exception):
    """What the server says of a phone or a service that is not to be had."""


class ServerPushFailed(Exception):
    """The phone refused a file."""


@dataclass(frozen=True)
class Server:
    """An adb server by its address."""

    host: str
    port: int

    def devices(self) -> dict[str, str] | None:
        """{serial: its state}, "device" for one that can be used; None: no server is there, or it is none of adb's."""
        try:
            with self._asked("host:devices") as connection:
                text = _counted(connection).decode("utf-8", "replace")
        except (OSError, ServerRefused, ValueError):
            return None
        return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)

    def stream(self, serial: str, command: str, silence_s: float) -> Iterator[bytes]:
        """What a command prints, as it comes. OSError where the connection is lost, or is silent for too long."""
        with self._on(serial, f"shell:{command}", silence_s) as connection:
            while data := connection.recv(CHUNK):
                yield data

    def push(self, serial: str, source: IO[bytes], path: str, silence_s: float) -> None:
        """Writes a file; ServerPushFailed if the phone refuses."""
        with self._on(serial, "sync:", silence_s) as connection:
            place = f"{path},{0o100755}".encode()
            try:
                connection.sendall(b"SEND" + struct.pack("<I", len(place)) + place)
                while data := source.read(CHUNK):
                    connection.sendall(b"DATA" + struct.pack("<I", len(data)) + data)
                connection.sendall(b"DONE" + struct.pack("<I", 1))  # the time it was last changed
            except ConnectionError:
                pass  # a phone that refuses says why, and closes
            answer, length = struct.unpack("<4sI", _exactly(connection, 8))
            if answer != b"OKAY":
                words = _exactly(connection, min(length, LONGEST_WORDS)).decode("utf-8", "replace")
                raise ServerPushFailed(words if answer == b"FAIL" else f"it answers {answer!r}")

    @contextlib.contextmanager
    def _on(self, serial: str, service: str, silence_s: float) -> Iterator[socket.socket]:
        with self._asked(f"host:transport:{serial}") as connection:
            connection.settimeout(silence_s)
            _ask(connection, service)
            yield connection

    @contextlib.contextmanager
    def _asked(self, request: str) -> Iterator[socket.socket]:
        with socket.create_connection((self.host, self.port), CONNECT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _ask(connection, request)
            yield connection


def adb_server() -> Server:
    """Where a server would be, by the variables that adb itself obeys."""
    named = re.fullmatch(r"tcp:(?:([\w.\-]+):)?(\d{1,5})", os.environ.get("ADB_SERVER_SOCKET", ""))
    if named:
        return Server(named[1] or "127.0.0.1", int(named[2]))
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    return Server(
        os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1", int(port) if port.isdecimal() else DEFAULT_PORT
    )


def _ask(connection: socket.socket, request: str) -> None:
    """ServerRefused with the server's words where it says no."""
    words = request.encode()
    if len(words) > 0xFFFF:
        raise ValueError(f"a request to adb's server has at most 65535 bytes, this has {len(words)}")
    connection.sendall(b"%04x" % len(words) + words)
    answer = _exactly(connection, 4)
    if answer == b"OKAY":
        return
    if answer != b"FAIL":
        raise ServerRefused(f"it answers {answer.decode('latin-1')!a}, which adb's server does not")
    raise ServerRefused(_counted(connection).decode("utf-8", "replace"))


def _counted(connection: socket.socket) -> bytes:
    """A text with its length before it, in four hexadecimal digits."""
    return _exactly(connection, int(_exactly(connection, 4), 16))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionResetError("adb's server closed the connection")
        data += piece
    return data
