"""Several phones by their serials: which are attached, and which are one and the same.

A serial is what a device says of itself, and so may be any text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ofa.errors import InputError, one_line
from profilers.devices.phone import adb as phone_adb
from profilers.devices.phone.adb import Adb, signer
from profilers.devices.phone.phone_options import ALL
from profilers.devices.phone.server import adb_server
from profilers.devices.phone.usb import USB_HELP, tcp_address, usb_devices
from profilers.measuring.events import ConnectionLost

# one phone has several serials where it is reached by cable and by network; the serial number that it tells itself may
# be that of many cheap phones, so the boot and the file system count too
WHICH = (
    'getprop ro.serialno; cat /proc/sys/kernel/random/boot_id 2> /dev/null; stat -c "%d %i" /data/local/tmp; '
    "getprop ro.build.fingerprint"
)


def chosen_serials(asked: Sequence[str]) -> list[str]:
    """The phones asked for, or all that are attached for "all"; InputError where one is no serial, or there is none."""
    if list(asked) != [ALL]:
        for serial in asked:
            tcp_address(serial)
        return list(asked)
    served = adb_server().devices() or {}
    found = [serial for serial in served if not serial.startswith("emulator-")]
    try:
        found += [serial for serial, _ in usb_devices() if serial not in served]
    except InputError:
        if not found:
            raise
    if not found:
        raise InputError(f"--serial all: no phone is attached (emulators do not count): {USB_HELP}")
    return found


@dataclass(frozen=True)
class Reached:
    """ready: the serials of different phones that answer; failed: {serial: why not}; again: {serial: that of the same
    phone which stands before it}
    """

    ready: tuple[str, ...]
    failed: Mapping[str, str]
    again: Mapping[str, str]


def reach(serials: Sequence[str], which: Callable[[str], str] | None = None) -> Reached:
    """Asks all phones at once whether they answer, and which phone each is. which: tells it; raises InputError"""
    signer(phone_adb.KEY)  # made once, before several would make it
    with ThreadPoolExecutor(len(serials)) as pool:
        answers = list(pool.map(lambda serial: _answer(serial, which or which_phone), serials))
    ready: dict[str, str] = {}
    failed, again = {}, {}
    for serial, (phone, why) in zip(serials, answers, strict=True):
        if why:
            failed[serial] = why
        elif phone in ready:
            again[serial] = ready[phone]
        else:
            ready[phone] = serial
    return Reached(tuple(ready.values()), failed, again)


def _answer(serial: str, which: Callable[[str], str]) -> tuple[str, str]:
    """Which phone it is, or why it does not answer."""
    try:
        return which(serial), ""
    except (InputError, ConnectionLost) as reason:
        return "", one_line(str(reason))


def which_phone(serial: str) -> str:
    """What is the same for all serials of one phone. Raises InputError, ConnectionLost."""
    with Adb(serial) as adb:
        adb.connect()
        return adb.run(WHICH).text
