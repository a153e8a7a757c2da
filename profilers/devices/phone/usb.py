"""Phones on USB, and emulators: which are there."""

from __future__ import annotations

import contextlib
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
