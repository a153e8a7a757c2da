"""The lab's Ray, asked whether it is there before it is given anything to do: its head, and its part on this host.

A process of which one of both has gone is ended by Ray itself after 60 s, without a word of ours. So it ends before.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping

PROBE_S = 2.0
GONE_S = 30.0  # a switch that starts anew, a tunnel that is built again
# a call of Ray's that waits for the head cannot be interrupted, and Ray ends the process after 60 s
STUCK_S = 50.0


class HeadGone(ConnectionError):
    """Something of the lab's Ray has not answered for long."""


class LabHead:
    """What a process needs of the lab's Ray. places: {what is there, in words: its host and port}; none: never gone"""

    def __init__(self, places: Mapping[str, tuple[str, int]]) -> None:
        self._places = dict(places)
        self._left = threading.Event()

    def require(self) -> None:
        """Returns when all of it answers; HeadGone where something does not in time."""
        until = time.monotonic() + GONE_S
        while silent := self.silent():
            if time.monotonic() >= until:
                raise HeadGone(f"{silent} has not answered for {GONE_S:.0f} s")
            time.sleep(min(0.5, GONE_S))

    def silent(self) -> str:
        """What of it does not answer; "" where all does."""
        for what, place in self._places.items():
            try:
                socket.create_connection(place, PROBE_S).close()
            except OSError:
                return what
        return ""

    def end_if_stuck(self, words: str, end: Callable[[int], object] = os._exit) -> None:
        """From now on ends the process with 2, and these words, where it still runs long after something has gone."""
        threading.Thread(target=self._watch, args=(words, end), daemon=True).start()

    def leave(self) -> None:
        """From now on it may go away."""
        self._left.set()

    def _watch(self, words: str, end: Callable[[int], object]) -> None:
        answered = time.monotonic()
        while time.monotonic() - answered < STUCK_S:
            if self._left.wait(PROBE_S):
                return
            if not self.silent():
                answered = time.monotonic()
        print(f"error: {words}", file=sys.stderr, flush=True)
        end(2)  # journals are on disk line by line


def place_of(address: str) -> tuple[str, int] | None:
    """Host and port of HOST:PORT, also after ray://; None of anything else."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() and int(port) < 65536 else None
