"""How every command ends: a user's mistake is one clear line and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import NoReturn

from ofa.cli.loading import INTERRUPTED, STOPPED, die_of_interrupts, make_interruptible
from ofa.cli.streams import prepare_streams
from ofa.errors import InputError, one_line
from ofa.optional_packages import explained
from ofa.reading.problems import ManyProblems

FAULT = 70  # EX_SOFTWARE of sysexits.h
MOST_PROBLEMS = 50  # of one file, a line each


def run(
    main: Callable[[], int],
    failed: int | None = None,
    less_memory: str = "give a smaller --batch-size, fewer images or another --device",
) -> NoReturn:
    """Exits with main's code; InputError and OSError print `error: ...`, Ctrl-C exits with 130.

    All problems of a file that has several are printed, a line each.

    A package that is not installed, and that an extra installs, is a user's mistake too.

    A reader that goes away (`| head`) ends nothing: the work is done to its end, and the code is that of the work.

    Whatever else is raised is a fault of ours: one line, and the traceback in a file.

    failed: the code of whatever goes wrong, our own faults too, for a command whose 1 is an answer
    less_memory: the way out where the memory of a GPU, or of the machine, is too small
    """
    prepare_streams()
    try:
        make_interruptible()
        code = main()
        sys.stdout.flush()
    except InputError as error:
        for problem in error.problems[:MOST_PROBLEMS] if isinstance(error, ManyProblems) else (error,):
            print(one_line(f"error: {problem}"), file=sys.stderr)
        code = failed or error.exit_code
    except OSError as error:
        print(one_line(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": ")), file=sys.stderr)
        code = failed or InputError.exit_code
    except KeyboardInterrupt:
        die_of_interrupts()
        print(STOPPED, file=sys.stderr)
        code = INTERRUPTED
    except Exception as error:
        missing = explained(error) if isinstance(error, ImportError) else None
        if missing is not None:
            print(f"error: {missing}", file=sys.stderr)
            sys.exit(failed or missing.exit_code)
        if (short := _lacks_memory(error)) is not None:
            print(one_line(f"error: there is not enough memory ({short}): {less_memory}"), file=sys.stderr)
            sys.exit(failed or InputError.exit_code)
        print(f"error: {_fault(error)}", file=sys.stderr)
        code = failed or FAULT
    sys.exit(code)


def _lacks_memory(error: Exception) -> str | None:
    """What torch or Python says of memory that it did not get; None where that is not what is wrong."""
    torch = sys.modules.get("torch")  # most commands do without
    message = str(error).strip()
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        message = ". ".join(message.split(". ")[:2]).rstrip(".")  # the rest is of its allocator
    elif not isinstance(error, MemoryError) and not (
        isinstance(error, RuntimeError) and any(sign in message for sign in ("can't allocate memory", "_ALLOC_FAILED"))
    ):
        return None
    return message.partition("\n")[0] or type(error).__name__


def _fault(error: Exception) -> str:
    """Our own fault in words, its traceback in a file of its own; in the words alone where none can be written."""
    what = ascii(f"{type(error).__name__}: {error}")[1:-1]
    what = what if len(what) <= 200 else f"{what[:197]}..."
    trace = "".join(traceback.format_exception(error))
    try:
        handle, name = tempfile.mkstemp(prefix="ofa-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(f"{' '.join(sys.argv)}\n{sys.version}\n{trace}")
    except OSError:
        return f"a fault of ours: {what}; please report it\n{trace}"
    return f"a fault of ours: {what}; please report it with {name}"
