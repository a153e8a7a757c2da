"""Standard output and standard error of a command: no text ends it, and no reader that goes away (`| head`) does."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from ofa.runs.system import reader_has_gone


class _Lasting(io.FileIO):
    """A pipe or file whose writes succeed, too, when nobody reads any more: what is written then is lost."""

    is_read = True

    def write(self, data: Any, /) -> int:
        """How many bytes were taken. Once the reader has gone, this process and its children write to nowhere."""
        try:
            return super().write(data)
        except OSError as error:
            if not reader_has_gone(error):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            self.is_read = False
            return memoryview(data).nbytes


def prepare_streams() -> None:
    """What the terminal's encoding lacks is escaped; what goes to a closed stream, or to no reader, is lost.

    So the work goes on to its end, and the exit code says how that was.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8", errors="backslashreplace", newline="\n"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            if type(_raw_of(stream)) is io.FileIO:  # a terminal of Windows is another
                stream.flush()
                setattr(sys, name, _lasting(stream))


def nobody_reads() -> bool:
    """Whether the reader of standard output went away: a command that only prints may end then."""
    raw = _raw_of(sys.stdout)
    return isinstance(raw, _Lasting) and not raw.is_read


def _raw_of(stream: object) -> object:
    """What a stream of text writes to in the end; with PYTHONUNBUFFERED there is nothing between."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream to the same place. The given one stays open."""
    raw = _Lasting(stream.fileno(), "w", closefd=False)
    # typeshed asks for a buffer; Python itself gives none where PYTHONUNBUFFERED is set
    buffer: Any = raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
