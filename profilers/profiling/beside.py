"""One command for several devices beside each other: a process each, whose lines are shown as they come."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from ofa.runs import system
from profilers.profiling.console import ended_by_sigterm


def run_beside(commands: Mapping[str, Sequence[str]], hear: Callable[[str, str], None]) -> dict[str, int]:
    """Starts all commands, {device: words}, and waits for their ends; {device: exit code}.

    hear: is told every line, stdout and stderr, after its device: one at a time, from other threads. If it raises, that
    process is ended, and so are the others.
    Whatever happens, none of them runs afterwards. Ctrl-C and SIGTERM end them by SIGTERM, and wait until they have put
    back what they changed.
    """
    lock, failures = threading.Lock(), list[BaseException]()
    processes: dict[str, subprocess.Popen[str]] = {}
    readers: list[threading.Thread] = []

    def read(device: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                try:
                    with lock:
                        hear(device, line.rstrip("\n"))
                except Exception as failure:  # such as a reader of ours that went away (`| head`)
                    failures.append(failure)
                    for other in [*processes.values()]:
                        system.ask_to_end(other)
                    return

    try:
        with ended_by_sigterm():
            for device, words in commands.items():
                processes[device] = _started(words)
                readers.append(threading.Thread(target=read, args=(device, processes[device])))
                readers[-1].start()
            codes = {device: process.wait() for device, process in processes.items()}
    finally:
        for process in processes.values():
            system.ask_to_end(process)
        for process in processes.values():
            process.wait()
        for reader in readers:
            reader.join()
    if failures:
        raise failures[0]
    return codes


def _started(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},  # what is waited for is said at once
        **system.group_of_its_own(),  # Ctrl-C reaches this process, which then ends them
    )
