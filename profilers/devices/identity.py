"""What tells a device from others of its model, in headers and in a lab: a hash, which shows no serial number."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

# the header's line
DEVICE_ID = "device_id"
# of systemd and of dbus; a container may have none
MACHINE_NUMBER = Path("/etc/machine-id")
# another machine's identity, in double quotes of its shell
IDENTITY_THERE = "$(cat /etc/machine-id 2> /dev/null) $(uname -n)"

# what machines are called that nobody named
_SHARED_NAMES = ("", "(none)", "localhost", "localhost.localdomain")
_NO_NUMBERS = ("", "uninitialized")  # the second is systemd's, before a first boot has ended


def device_id(kind: str, identity: str) -> str:
    """Such as phone-1a2b3c4d5e6f, which is a name for files too. identity: what tells it from others of its kind

    Not a plain hash of the identity: systemd asks programs not to show one of a machine's number.
    """
    digest = hashlib.sha256(f"ofa-latency {kind} {identity}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{kind}-{digest[:12]}"


def machine_identity() -> str:
    """This machine's number and name: clones of a disk share the one, machines of one owner the other."""
    try:
        number = MACHINE_NUMBER.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        number = ""
    return f"{number} {socket.gethostname()}"


def is_told_apart(identity: str) -> bool:
    """Whether a machine's number and name tell it from others: without a number, a name such as localhost does not."""
    number, _, name = identity.rpartition(" ")
    return number.strip() not in _NO_NUMBERS or name.strip().lower() not in _SHARED_NAMES
