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
