"""Ctrl-C before a command's work has begun, while modules load: a word, as at any other time, and no traceback.

A KeyboardInterrupt would come out of whatever is being loaded, where nobody takes it. There is nothing yet to save.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType

PACKAGES = ("ofa", "profilers", "latency_tables", "device_agents")  # whose modules are commands
STOPPED, INTERRUPTED = "stopped", 130  # what a command says at Ctrl-C, and its exit code


def end_quietly(words: Sequence[str], arguments: Sequence[str]) -> None:
    """Until the work begins, Ctrl-C ends this process at once, if it is a command of ours: no program that imports us.

    words, arguments: sys.orig_argv and sys.argv
    """
    if not 0 < len(arguments) < len(words):
        return  # an interpreter within another program
    option, module = words[-len(arguments) - 1 : len(words) - len(arguments) + 1]
    is_module = option == "-m" and module.partition(".")[0] in PACKAGES
    is_script = os.path.basename(arguments[0]) in ("ofa", "ofa.exe")  # noqa: PTH119 pathlib takes 10 ms to load
    # a shell's background jobs ignore it
    if (is_module or is_script) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def make_interruptible() -> None:
    """The work begins: Ctrl-C raises KeyboardInterrupt again, so that it ends in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def die_of_interrupts() -> None:
    """The work has ended: one more Ctrl-C ends this process at once, and not with a traceback of what is cleared up."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end(_number: int, _frame: FrameType | None) -> None:
    try:
        os.write(2, f"{STOPPED}\n".encode())
    finally:  # standard error may be closed
        os._exit(INTERRUPTED)
