"""Folders of files on a phone: pushed whole as one tar, checked, and not pushed again."""

from __future__ import annotations

from collections.abc import Callable

from ofa.errors import InputError
from ofa.runs.places import temporary_folder
from profilers.devices.phone.adb import Adb, PushFailed
from profilers.devices.sent_files import SUMS, SentFolder, write_tar

# the one place where adb's shell may both write and run programs
BASE = "/data/local/tmp/ofa-latency"
TRIES = 3
SPARE = 8 << 20  # bytes that stay free on the phone

CHECK = 'cd "$1" 2>/dev/null && sha256sum -c "$2" > /dev/null 2>&1'
FREE = 'mkdir -p "$1" && stat -f -c "%a %S" "$1"'  # blocks and their size: Android's shell computes in 32 bits
# of one kind (agent-..., models-...) only what is used now stays, and nothing half-made
TIDY = 'cd "$1" || exit 1; for name in "$2"-* *.part *.tar; do [ "$name" = "$3" ] || rm -rf "$name"; done'
UNPACK = (
    'cd "$1" || exit 1; [ "$(stat -c %s "$2.tar")" = "$3" ] || { rm -f "$2.tar"; exit 9; }; '
    'mkdir -p "$2.part" && tar -xf "$2.tar" -C "$2.part" && rm -f "$2.tar" && mv "$2.part" "$2"'
)
CUT = 9  # UNPACK's exit code for an archive that did not arrive whole


def place(wanted: SentFolder) -> str:
    """Its path on the phone."""
    return f"{BASE}/{wanted.name}"


def held(adb: Adb, wanted: SentFolder) -> bool:
    """Whether the folder is on the phone, unharmed."""
    return adb.run(CHECK, place(wanted), SUMS).code == 0


def room_for(adb: Adb, kind: str) -> int:
    """Bytes that an archive of this kind may have: it and what comes out of it must fit. Others of the kind go."""
    remove(adb, kind)
    return (free_bytes(adb) - SPARE) // 2


def remove(adb: Adb, kind: str) -> None:
    """Removes all folders of a kind from the phone."""
    adb.run(TIDY, BASE, kind, "")


def ensure(adb: Adb, wanted: SentFolder, say: Callable[[str], None]) -> int:
    """Sees to it that the folder is on the phone, unharmed; how many bytes were pushed for that.

    What is there is checked by its hashes; what was pushed just now by its size, since adb's packets have checksums.
    InputError if there is no space, or it does not arrive whole. Raises ConnectionLost.
    """
    if held(adb, wanted):
        return 0
    with temporary_folder("push") as work:
        archive = work / "archive.tar"
        with archive.open("wb") as file:
            write_tar(wanted, file)
        size = archive.stat().st_size
        # the archive, and what comes out of it
        needed = 2 * size + SPARE
        remove(adb, wanted.kind)
        free = free_bytes(adb)
        if free < needed:
            raise no_space(needed, free)
        say(f"pushing {wanted.kind}: {len(wanted.files)} files, {size / 1e6:.0f} MB")
        for _ in range(TRIES):
            try:
                adb.push(archive, f"{BASE}/{wanted.name}.tar")
            except PushFailed as error:
                raise refused(adb, needed, str(error)) from None
            answer = adb.run(UNPACK, BASE, wanted.name, str(size), timeout_s=300)
            if answer.code == 0:
                return size
            if answer.code != CUT:
                raise refused(adb, needed, answer.text)
    raise InputError(f"{wanted.kind} did not arrive whole on the phone, {TRIES} times: try another cable or port")


def free_bytes(adb: Adb) -> int:
    """Free space where the phone keeps our files."""
    answer = adb.run(FREE, BASE)
    numbers = answer.text.split()
    if answer.code != 0 or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise InputError(f"the phone lets nothing be written to {BASE}: {answer.text}")
    return int(numbers[0]) * int(numbers[1])


def refused(adb: Adb, needed: int, why: str) -> InputError:
    """Why the phone would not take a file; the connection is made anew, for it may be out of step."""
    adb.connect()
    free = free_bytes(adb)
    return no_space(needed, free) if free < needed else InputError(f"the phone refuses the files: {why}")


def no_space(needed: int, free: int) -> InputError:
    return InputError(
        f"no space left on the phone: {BASE} needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free: delete "
        "something on the phone, or measure fewer --resolutions at a time"
    )
