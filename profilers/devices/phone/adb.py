"""A phone over adb: shell calls, files and streams by adb-shell, and each failure to connect in words that help.

`serial` is a USB serial, `host:port` (adb over TCP) or `emulator-N`. An adb server of this computer that holds the
phone is asked for it; else the phone is spoken to directly. Whatever goes into a shell on the phone is a constant
script of ours; names and values are quoted and reach it as its arguments.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from adb_shell.adb_device import AdbDevice
from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_pythonrsa import PythonRSASigner
from adb_shell.exceptions import (
    AdbCommandFailureException,
    AdbConnectionError,
    AdbTimeoutError,
    DeviceAuthError,
    InvalidChecksumError,
    InvalidCommandError,
    InvalidResponseError,
    PushFailedError,
    TcpTimeoutException,
    UsbReadFailedError,
    UsbWriteFailedError,
)
from adb_shell.transport.base_transport import BaseTransport

from ofa.errors import InputError
from profilers.devices.phone.server import Server, ServerPushFailed, ServerRefused, adb_server
from profilers.devices.phone.usb import USB_HELP, Drained, tcp_address, usb_transport
from profilers.measuring.events import ConnectionLost

KEY = Path("~/.android/adbkey").expanduser()
CONNECT_S = 8.0
# how long the owner of the phone has to unlock it and tap
ALLOW_S = 60.0
# a phone that writes to slow storage; adb-shell misses one that refuses in the middle of a file, and waits as long
PUSH_SILENCE_S = 30.0
# what adb-shell raises when the phone is gone, or speaks no more sense
LOST = (
    OSError, AdbConnectionError, AdbTimeoutError, AdbCommandFailureException, InvalidChecksumError, InvalidCommandError,
    InvalidResponseError, TcpTimeoutException, UsbReadFailedError, UsbWriteFailedError,
)  # fmt: skip
ALLOW_HELP = (
    "unlock the phone, tap Allow on 'Allow USB debugging?', with 'Always allow from this computer' ticked, and run "
    "this again (no dialog: Developer options > Revoke USB debugging authorisations, then plug it in again; Samsung: "
    "Settings > Security > Auto Blocker off; Xiaomi: also USB debugging (Security settings))"
)
# of a packet, once a large push failed: some phones lose larger ones (adb-shell's issues 133 and 205)
SMALL_PACKET = 4096
# a phone on USB may still be answering what a run before asked
USB_TRIES = 3
# what that sounds like
CONFUSED = (
    InvalidChecksumError, InvalidCommandError, InvalidResponseError, UsbReadFailedError, AdbTimeoutError,
)  # fmt: skip


class Tcp(BaseTransport):  # type: ignore[misc]
    """adb-shell's own TCP transport waits 40 ms for small packets, may send a part and takes an end for no data yet."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def connect(self, transport_timeout_s: float | None) -> None:
        self._socket = socket.create_connection(self._address, transport_timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        open_socket = self._open()
        open_socket.settimeout(transport_timeout_s)
        data = open_socket.recv(numbytes)
        if not data:
            raise ConnectionResetError("the phone closed the connection")
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        open_socket = self._open()
        open_socket.settimeout(transport_timeout_s)
        open_socket.sendall(data)
        return len(data)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        return self._socket


@dataclass(frozen=True)
class ShellAnswer:
    """What a script on the phone said, stdout and stderr together, and its exit code."""

    code: int
    text: str


class Adb:
    """One phone; `with` closes it. All but `connect` and `close` raise ConnectionLost when the phone is gone."""

    def __init__(self, serial: str | None) -> None:
        """serial: None for the only phone on USB. InputError if it is none that adb knows."""
        self.serial, self._key = serial, KEY
        self._address = tcp_address(serial)
        self._device: Any = None
        self._server: tuple[Server, str] | None = None  # and what it calls the phone
        self._small = False

    def connect(self) -> None:
        """Connects anew. InputError says what is in the way, and what to do about it."""
        self.close()
        self._server = self._by_server()
        if self._server is not None:
            return
        tries = 1 if self._address else USB_TRIES
        for turn in range(tries):
            try:
                self._device = self._by_itself()
                return
            except Confused as confused:
                if turn + 1 == tries:
                    raise InputError(str(confused)) from None

    def _by_server(self) -> tuple[Server, str] | None:
        """The adb server that has the phone, and its name there; InputError if it has it and cannot use it."""
        server = adb_server()
        devices = server.devices() or {}
        if self.serial is None:
            ready = [name for name, state in devices.items() if state == "device"]
            if len(ready) > 1:
                raise InputError(f"{len(ready)} phones are attached ({', '.join(ready)}): choose one by --serial")
            names = ready or list(devices)[:1]
        else:
            names = [self.serial] if self.serial in devices else []
        if not names:
            return None
        name, state = names[0], devices[names[0]]
        if state in ("unauthorized", "authorizing"):
            raise InputError(f"{name} does not accept the key of this computer's adb server: {ALLOW_HELP}")
        if state != "device":
            raise InputError(
                f"{name} is {state}, by this computer's adb server: unplug it, plug it in again, and {USB_HELP}; or "
                "stop the server (`adb kill-server`), and the phone is used without it"
            )
        return server, name

    def _by_itself(self) -> Any:
        """A connection of our own. InputError; Confused where another try may do."""
        asked = False

        def ask(_: object) -> None:
            nonlocal asked
            asked = True
            print("waiting: unlock the phone and tap Allow on 'Allow USB debugging?'", file=sys.stderr, flush=True)

        transport = Tcp(*self._address) if self._address else Drained(usb_transport(self.serial))
        device = AdbDevice(transport, default_transport_timeout_s=CONNECT_S, banner="ofa-latency")
        try:
            device.connect(
                rsa_keys=[signer(self._key)], auth_timeout_s=ALLOW_S, read_timeout_s=CONNECT_S, auth_callback=ask
            )
        except Exception as error:
            with contextlib.suppress(Exception):
                device.close()
            why = self._why_not(error, asked)
            raise Confused(why) if isinstance(error, CONFUSED) and not asked else InputError(why) from None
        if self._small:
            device._maxdata = min(device._maxdata, SMALL_PACKET)  # its maintainer's own advice
        return device

    @property
    def way(self) -> str:
        """How the phone is reached, in words."""
        if self._server is not None:
            return "by this computer's adb server"
        return "by adb over TCP" if self._address else "by USB"

    def close(self) -> None:
        if self._device is not None:
            with contextlib.suppress(*LOST):
                self._device.close()
            self._device = None
        self._server = None

    def __enter__(self) -> Adb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, script: str, *arguments: str, timeout_s: float = 60.0) -> ShellAnswer:
        """Runs a script by the phone's shell; the arguments are its $1, $2, ..."""
        text = b"".join(self.stream(script, *arguments, silence_s=timeout_s)).decode("utf-8", "replace")
        output, _, code = text.rstrip().rpartition("RC=")
        return ShellAnswer(int(code) if code.isdigit() else -1, output.strip())

    def stream(self, script: str, *arguments: str, silence_s: float) -> Iterator[bytes]:
        """What a script says, as it comes, in pieces of any size; at last a line `RC=` with its exit code.

        silence_s: the phone counts as lost if nothing comes for so long.
        """
        command = shlex.join(["sh", "-c", script, "sh", *arguments]) + "; echo RC=$?"
        with self._losing():
            if self._server is not None:
                server, name = self._server
                yield from server.stream(name, command, silence_s)
                return
            yield from self._device.streaming_shell(
                command, transport_timeout_s=silence_s, read_timeout_s=silence_s, decode=False
            )

    def push(self, data: Path | bytes, path: str) -> None:
        """Writes a file on the phone. PushFailed if the phone refuses; after that, connect anew."""
        with self._losing():
            try:
                if self._server is not None:
                    server, name = self._server
                    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as source:
                        server.push(name, source, path, PUSH_SILENCE_S)
                    return
                content = io.BytesIO(data) if isinstance(data, bytes) else str(data)
                self._device.push(
                    content, path, mtime=1, transport_timeout_s=PUSH_SILENCE_S, read_timeout_s=PUSH_SILENCE_S
                )
            except (PushFailedError, ServerPushFailed) as error:
                raise PushFailed(str(error)) from None
            except LOST:
                self._small = True  # who connects again tries that
                raise
            except KeyError:  # adb-shell took the middle of a refusal for the beginning of an answer
                raise PushFailed("its answer cannot be understood") from None

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        if self._device is None and self._server is None:
            raise ConnectionLost("there is no connection to the phone")
        try:
            yield
        except (*LOST, ServerRefused) as error:
            raise ConnectionLost(f"the connection to the phone was lost: {error}") from None

    def _why_not(self, error: Exception, asked: bool) -> str:
        name = self.serial or "the phone on USB"
        kind = type(error).__name__
        if asked or isinstance(error, DeviceAuthError):
            return f"{name} does not accept this computer's key {self._key}.pub: {ALLOW_HELP}"
        if kind == "USBErrorBusy":
            return f"{name} is held by another program, most likely an adb server: stop it with `adb kill-server`"
        if kind == "USBErrorAccess":
            return (
                f"{name} may not be opened by this user: apt-get install android-sdk-platform-tools-common (its udev "
                "rules), plug the phone in again, or run this as root"
            )
        if isinstance(error, InvalidCommandError) and "STLS" in str(error):
            return (
                f"{name} wants the pairing of wireless debugging, which adb's own server does: `adb pair` and `adb "
                "connect`, then this again; or over the cable once `adb tcpip 5555`, then --serial PHONE'S-ADDRESS:5555"
            )
        if self._address:
            host, port = self._address
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or kind
            return (
                f"no device answers at {host}:{port} ({why}): is it on and in this network, with adb over TCP turned "
                f"on (over the cable once: `adb tcpip {port}`)?"
            )
        return f"{name} does not answer ({kind}: {error}): unplug it, plug it in again, and {USB_HELP}"


class AdbLines:
    """The lines of a stream over adb. code: the exit code that ends them, once it was read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest, self.code = pieces, b"", -1

    def get(self, *, timeout: float) -> bytes | None:
        """Waits as long as the stream allows for silence: heartbeats come more often than a timeout would."""
        del timeout
        while b"\n" not in self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        if line.startswith(b"RC="):
            self.code = int(line[3:])
            return None
        return line


class PushFailed(Exception):
    """The phone refused a file."""


class Confused(Exception):
    """The phone answers, but not what it was asked; the message is that of an InputError."""


def signer(key: Path) -> Any:
    """adb's own key of this user, made if there is none."""
    public = key.with_name(key.name + ".pub")
    if not key.is_file():
        key.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # the folder may be readable by others: the private key is never there with other rights than its owner's
        key.touch(mode=0o600)
        keygen(str(key))
    elif not public.is_file():
        from adb_shell.auth.keygen import write_public_keyfile

        write_public_keyfile(str(key), str(public))
    try:
        return PythonRSASigner(public.read_text(encoding="utf-8"), key.read_text(encoding="utf-8"))
    except ValueError:  # of pyasn1 and rsa, which read it
        raise InputError(f"{key} is no key of adb's: move it away, and a new one is made") from None
