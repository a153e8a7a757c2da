"""A command that ends when whoever started it does: a process of its own, as `START` CPUS LOG WORDS...

Nothing is written to its standard input, which ends with the process that holds the other end. Then the command is
asked to end in order, and, if it does not, is killed. CPUS: such as 0,1, or - for all; LOG: takes the command's output.
The exit code is the command's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ofa.runs import system

# a profiler puts a phone back into its mode and ends the agent there
PATIENCE_S = 30.0
HELD = ".leash"
START = (sys.executable, "-c", f"import sys; from {__name__} import main; sys.exit(main(sys.argv[1:]))")


def is_held(folder: Path) -> bool:
    """Whether a command that was begun in a folder has not ended."""
    if not (folder / HELD).is_file():
        return False
    handle = system.open_lock(folder / HELD)
    try:
        return not system.try_lock(handle)
    finally:
        os.close(handle)


def main(argv: Sequence[str]) -> int:
    cpus, log, *words = argv
    if cpus != "-":
        system.run_on([int(cpu) for cpu in cpus.split(",")])
    # until the command has ended, too, if this process is killed: another attempt waits for it
    held = system.open_lock(Path(HELD))
    system.wait_for_lock(held)
    with Path(log).open("ab") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            **system.group_of_its_own(),
            **system.ending_with_this_process(),
            **system.inheriting(held),
        )
        for number in (*system.END_SIGNALS, signal.SIGINT):
            signal.signal(number, lambda *_: _end(process))
        threading.Thread(target=_watch, args=(process,), daemon=True).start()
        code = process.wait()
    return code if code >= 0 else 128 - code


def _watch(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1 << 16):  # Python's own stdin would be locked when this process ends
        pass
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """In order first. From a signal's handler too: so the killing is a thread's."""
    system.ask_to_end(process)
    killer = threading.Timer(PATIENCE_S, _kill, [process])
    killer.daemon = True
    killer.start()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        system.kill_group(process)
