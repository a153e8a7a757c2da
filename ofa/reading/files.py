"""What a user names to be read must end: a device or a pipe is refused unopened, since it could wait for ever."""

from __future__ import annotations

import stat
from pathlib import Path

from ofa.errors import InputError


def refuse_endless(path: Path, name: str = "") -> None:
    """InputError where a device, a pipe or a socket is there. name: what the user calls it, such as "--table"

    What is not there passes: whoever opens it says so.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in its name
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{name}{name and ' '}{path} is a device or a pipe: name a file")
