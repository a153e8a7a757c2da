"""Where phones are: on USB, in the network, emulators."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Any

from adb_shell.exceptions import UsbReadFailedError
from adb_shell.transport.base_transport import BaseTransport

from ofa.errors import InputError

EMULATOR_PORTS = range(5554, 5683, 2)
USB_HELP = (
    "on the phone, tap Settings > About > Build number seven times, then turn on Developer options > USB debugging, "
    "and use a cable that carries data"
)
# stale packets of an earlier conversation come at once, and are few
DRAIN_S, MOST_STALE = 0.05, 256


class Drained(BaseTransport):  # type: ignore[misc]
    """A USB transport whose phone is first let finish what it had to say to whoever spoke with it before."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def connect(self, transport_timeout_s: float | None) -> None:
        self._transport.connect(transport_timeout_s)
        with contextlib.suppress(UsbReadFailedError, TimeoutError):
            for _ in range(MOST_STALE):
                if not self._transport.bulk_read(1 << 14, DRAIN_S):
                    break

    def close(self) -> None:
        self._transport.close()

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        data: bytes = self._transport.bulk_read(numbytes, transport_timeout_s)
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        wrote: int = self._transport.bulk_write(data, transport_timeout_s)
        return wrote


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
