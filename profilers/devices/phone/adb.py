"""A phone over adb: shell calls, files and streams by adb-shell, and each failure to connect in words that help.

`serial` is a USB serial, `host:port` (adb over TCP) or `emulator-N`. Whatever goes into a shell on the phone is a
constant script of ours; names and values are quoted and reach it as its arguments.
"""

from __future__ import annotations

import contextlib
import io
import re
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
EMULATOR_PORTS = range(5554, 5683, 2)
USB_HELP = (
    "on the phone, tap Settings > About > Build number seven times, then turn on Developer options > USB debugging, "
    "and use a cable that carries data"
)


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

    def connect(self) -> None:
        """Connects anew. InputError says what is in the way, and what to do about it."""
        self.close()
        asked = False

        def ask(_: object) -> None:
            nonlocal asked
            asked = True
            print("waiting: unlock the phone and tap Allow on 'Allow USB debugging?'", file=sys.stderr, flush=True)

        transport = Tcp(*self._address) if self._address else usb_transport(self.serial)
        device = AdbDevice(transport, default_transport_timeout_s=CONNECT_S, banner="ofa-latency")
        try:
            device.connect(
                rsa_keys=[signer(self._key)], auth_timeout_s=ALLOW_S, read_timeout_s=CONNECT_S, auth_callback=ask
            )
        except Exception as error:
            with contextlib.suppress(Exception):
                device.close()
            raise InputError(self._why_not(error, asked)) from None
        self._device = device

    def close(self) -> None:
        if self._device is not None:
            with contextlib.suppress(*LOST):
                self._device.close()
            self._device = None

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
            yield from self._device.streaming_shell(
                command, transport_timeout_s=silence_s, read_timeout_s=silence_s, decode=False
            )

    def push(self, data: Path | bytes, path: str) -> None:
        """Writes a file on the phone. PushFailed if the phone refuses; after that, connect anew."""
        with self._losing():
            try:
                source = io.BytesIO(data) if isinstance(data, bytes) else str(data)
                self._device.push(
                    source, path, mtime=1, transport_timeout_s=PUSH_SILENCE_S, read_timeout_s=PUSH_SILENCE_S
                )
            except PushFailedError as error:
                raise PushFailed(str(error)) from None
            except KeyError:  # adb-shell took the middle of a refusal for the beginning of an answer
                raise PushFailed("its answer cannot be understood") from None

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        if self._device is None:
            raise ConnectionLost("there is no connection to the phone")
        try:
            yield
        except LOST as error:
            raise ConnectionLost(f"the connection to the phone was lost: {error}") from None

    def _why_not(self, error: Exception, asked: bool) -> str:
        name = self.serial or "the phone on USB"
        kind = type(error).__name__
        if asked or isinstance(error, DeviceAuthError):
            return (
                f"{name} does not accept this computer's key {self._key}.pub: unlock the phone, tap Allow on 'Allow "
                "USB debugging?', with 'Always allow from this computer' ticked, and run this again (no dialog: "
                "Developer options > Revoke USB debugging authorisations, then plug it in again)"
            )
        if kind == "USBErrorBusy":
            return f"{name} is held by another program, most likely an adb server: stop it with `adb kill-server`"
        if kind == "USBErrorAccess":
            return (
                f"{name} may not be opened by this user: apt-get install android-sdk-platform-tools-common (its udev "
                "rules), plug the phone in again, or run this as root"
            )
        if isinstance(error, InvalidCommandError) and "STLS" in str(error):
            return (
                f"{name} wants the pairing of wireless debugging, which is not supported here: use the cable, or over "
                "the cable once `adb tcpip 5555`, then --serial PHONE'S-ADDRESS:5555"
            )
        if self._address:
            host, port = self._address
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or kind
            return (
                f"no device answers at {host}:{port} ({why}): is it on and in this network, with adb over TCP turned "
                f"on (over the cable once: `adb tcpip {port}`)?"
            )
        return f"{name} does not answer ({kind}: {error}): unplug it, plug it in again, and {USB_HELP}"


class PushFailed(Exception):
    """The phone refused a file."""


def tcp_address(serial: str | None) -> tuple[str, int] | None:
    """Where a serial leads by TCP; None for USB. InputError if it is no serial."""
    if serial is None:
        return None
    if emulator := re.fullmatch(r"emulator-(\d{4,5})", serial):
        console = int(emulator[1])
        if console % 2 or console > 65534:
            raise InputError(f"--serial is {serial}: an emulator's number is even, 5554 for the first")
        return "127.0.0.1", console + 1
    if network := re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\]:(\d{1,5})|([\w.\-]+):(\d{1,5})", serial, re.ASCII):
        port = int(network[2] or network[4])
        if not 1 <= port <= 65535:
            raise InputError(f"--serial is {serial}: the port is {port}, expected 1 to 65535")
        return network[1] or network[3], port
    if not re.fullmatch(r"[\w.\-]{1,64}", serial, re.ASCII):
        raise InputError(
            f"--serial is {serial!r}, expected a USB serial such as R58M123ABC, an address such as 192.168.1.7:5555, "
            "or emulator-5554: --list shows what is attached"
        )
    return None


def usb_devices() -> list[tuple[str, Any]]:
    """(serial, adb-shell's transport) of every phone on USB with debugging turned on; InputError without libusb."""
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError):
        raise InputError(
            "USB needs libusb, which cannot be loaded: pip install 'ofa-latency[android]' and apt-get install "
            "libusb-1.0-0 (macOS: brew install libusb)"
        ) from None
    found = []
    for transport in UsbTransport.find_all_adb_devices():
        try:
            serial = transport.serial_number
        except Exception as error:  # usb1's errors: the device may not be opened
            serial = f"not readable: {type(error).__name__}"
        found.append((serial, transport))
    return found


def usb_transport(serial: str | None) -> Any:
    """The phone of that serial, or the only one. InputError if there is none, or more than one to choose from."""
    devices = usb_devices()
    there = ", ".join(name for name, _ in devices) or "none"
    if serial is None and len(devices) > 1:
        raise InputError(f"{len(devices)} phones are on USB ({there}): choose one by --serial")
    for name, transport in devices:
        if serial in (None, name):
            return transport
    named = f"no phone {serial} is on USB (there: {there})" if serial else "no phone is on USB"
    raise InputError(f"{named}: {USB_HELP}; for one in the network give --serial HOST:PORT")


def emulators() -> list[str]:
    """The emulators that run on this machine."""
    found = []
    for console in EMULATOR_PORTS:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", console + 1), 0.2):
            found.append(f"emulator-{console}")
    return found


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
        return PythonRSASigner(public.read_text(), key.read_text())
    except ValueError:  # of pyasn1 and rsa, which read it
        raise InputError(f"{key} is no key of adb's: move it away, and a new one is made") from None
