"""What the log of a job tells: how far it is, and what went wrong."""

from __future__ import annotations

import re
from pathlib import Path

from profilers.profiling.console import Progressed, progress_in

_TAIL = 1 << 14  # bytes of the end that are looked through
_LONGEST = 500
# as commands end with an error, and as profilers.regenerate says of a table, before it says where its report is
_FAILED = re.compile(r"error: (.*)|(.+\.csv: failed: .*)")


def progress_at(log: Path) -> Progressed | None:
    """The last that it says of the progress; None where it says nothing."""
    return next((found for line in reversed(_last_lines(log)) if (found := progress_in(line))), None)


def last_error(log: Path) -> str:
    """The last error that it names, or its last line; "" where there is none."""
    lines = _last_lines(log)
    errors = [match[1] or match[2] for line in lines if (match := _FAILED.fullmatch(line))]
    return (errors or lines or [""])[-1][:_LONGEST]


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
