"""One conversation with an agent: starts it, hands on what it says, and ends it if it dies, hangs or babbles."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from ofa.runs import system
from profilers.measuring.events import AgentFailed, Done, Error, Event, Heartbeat, Hello, event_of, shown

_LONGEST_LINE = 64 << 20  # bytes
# of what an agent writes to stderr the end is kept: it may be a flood
_KEPT_BYTES = 64 << 10
_LONGEST_WORDS = 200  # characters of its last line
# what was written last may still be on its way
_LAST_WORDS_S = 0.5
# lines are waited for in such steps: one that took much longer was a stop of this process, which is no agent's silence
_STEP_S = 1.0


class Lines(Protocol):
    """An agent's lines as they come: a queue.Queue, or what reads them from elsewhere."""

    def get(self, *, timeout: float) -> bytes | None:
        """The next line; None: no more come. queue.Empty if there is none in time, or ConnectionLost."""


# where agents may stay, the one that waits there for further visits
_staying: dict[Path, _Agent | None] = {}


@contextmanager
def agents_stay(folder: Path) -> Iterator[None]:
    """Within it, an agent of this folder's models that says so stays, with what it has loaded, and goes on when asked.

    In the end it is gone.
    """
    _staying[folder] = None
    try:
        yield
    finally:
        if (agent := _staying.pop(folder)) is not None:
            agent.end()


def local_agent(command: Sequence[str], folder: Path, manifest: Mapping[str, Any], timeout_s: float) -> Iterator[Event]:
    """What an agent on this machine says, line by line, without heartbeats, until "done".

    command: starts it, given the path of the manifest, which is written into the folder of the models
    timeout_s: the longest that one visit, or the start, may take
    Raises AgentFailed. However this ends, the agent is gone, unless it stays (`agents_stay`).
    """
    agent, answered = _staying.get(folder), False
    if folder in _staying:
        _staying[folder] = None
    if agent is not None:
        try:
            if agent.goes_on(manifest):
                for event in _until_done(agent, folder, timeout_s):
                    answered = True
                    yield event
                return
        except AgentFailed:
            if answered:
                raise
        agent.end()
    path = folder / "manifest.json"
    asked = {**manifest, "stay": True} if folder in _staying else manifest
    path.write_text(json.dumps(asked), encoding="utf-8", newline="\n")
    stdin = subprocess.PIPE if folder in _staying else subprocess.DEVNULL
    yield from _until_done(_Agent([*command, str(path)], stdin, _process_ended, manifest), folder, timeout_s)


def _until_done(agent: _Agent, folder: Path, timeout_s: float) -> Iterator[Event]:
    """An agent's events. Then it stays or, however this ends, it is gone."""
    stays = False
    try:
        for event in agent.events(timeout_s):
            stays = isinstance(event, Done) and event.stays and folder in _staying
            yield event
    finally:
        if stays:
            _staying[folder] = agent
        else:
            agent.end()


def agent_process(
    command: Sequence[str], stdin: int | IO[bytes], timeout_s: float, how_it_ended: Callable[[int], str]
) -> Iterator[Event]:
    """What a process says that is an agent, or the way to one, until "done"; in the end it is gone.

    how_it_ended: of the exit code that came too early, in words that follow "the agent"; it may raise what is no
    block's fault
    """
    agent = _Agent(command, stdin, how_it_ended)
    try:
        yield from agent.events(timeout_s)
    finally:
        agent.end()


class _Agent:
    """A process that is an agent, or the way to one. manifest: what it was asked"""

    def __init__(
        self,
        command: Sequence[str],
        stdin: int | IO[bytes],
        how_it_ended: Callable[[int], str],
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        # a group of its own: Ctrl-C reaches the host, which then ends the agent
        self._process = process = subprocess.Popen(
            list(command), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **system.group_of_its_own()
        )
        assert process.stderr is not None
        self._how_it_ended, self._manifest, self._greeted = how_it_ended, manifest or {}, False
        self._last_words = _LastWords(process.stderr)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()

    def events(self, timeout_s: float) -> Iterator[Event]:
        """What it says until "done", as `checked_events`."""
        ended, greeted = lambda: self._how_it_ended(self._process.wait()), self._greeted
        for event in checked_events(self._lines, timeout_s, ended, self._last_words, greeted=greeted):
            self._greeted = True
            yield event

    def goes_on(self, manifest: Mapping[str, Any]) -> bool:
        """Asks an agent that stays for further visits of its models. False where it cannot make them, or is gone."""
        fixed, known = (
            {k: v for k, v in m.items() if k not in ("models", "visits")} for m in (manifest, self._manifest)
        )
        if fixed != known or any(model not in self._manifest["models"] for model in manifest["models"]):
            return False
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"visits": manifest["visits"]}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Whatever it is at, it is gone."""
        process = self._process
        if process.poll() is None:
            system.kill_group(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was asked of one that is gone
                    pipe.close()
        self._last_words.close()


def _process_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"


def checked_events(
    lines: Lines,
    timeout_s: float,
    how_it_ended: Callable[[], str],
    last_words: Callable[[], str],
    *,
    greeted: bool = False,
) -> Iterator[Event]:
    """The events of an agent's lines, each checked, without heartbeats, until "done"; None: no more lines come.

    timeout_s: heartbeats do not extend it, since a hanging runtime does not stop them; while this process is stopped,
    it does not run on
    how_it_ended, last_words: for AgentFailed, which is raised where the agent dies, hangs or breaks the protocol
    greeted: whether it said hello before
    """
    deadline = time.monotonic() + timeout_s
    while True:
        begun = time.monotonic()
        wait = min(_STEP_S, max(0.0, deadline - begun))
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            late = time.monotonic() - begun - wait
            if late > _STEP_S:  # this process was stopped (Ctrl-Z), and the answer may wait to be read
                deadline += late
            elif time.monotonic() >= deadline:
                raise AgentFailed(f"no answer within {timeout_s:g} s{last_words()}") from None
            continue
        if line is None:
            raise AgentFailed(f"the agent {how_it_ended()}{last_words()}")
        event = _parse(line)
        if isinstance(event, Heartbeat):
            # a flood of them never leaves the queue empty
            if time.monotonic() > deadline:
                raise AgentFailed(f"no answer within {timeout_s:g} s, only heartbeats{last_words()}")
            continue
        if not greeted and not isinstance(event, Hello | Error):
            raise AgentFailed(f"the agent began without a hello: {shown(line)}")
        greeted = True
        deadline = time.monotonic() + timeout_s
        yield event
        if isinstance(event, Done):
            return


def _read(process: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    assert process.stdout is not None
    try:
        # a line without an end is cut, and then is no protocol line
        while line := process.stdout.readline(_LONGEST_LINE):
            lines.put(line)
    except ValueError:
        pass  # closed by the host, which no longer listens
    lines.put(None)


def _parse(line: bytes) -> Event:
    """A checked protocol line."""
    try:
        decoded = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise AgentFailed(f"the agent sent a line that is not of the protocol: {shown(line)}") from None
    return event_of(decoded)


def _refuse(constant: str) -> None:
    """NaN and Infinity, which Python reads, are no JSON."""
    raise ValueError(constant)


class _LastWords:
    """The end of what a process writes to stderr, read as it comes."""

    def __init__(self, stderr: IO[bytes]) -> None:
        self._stderr, self._kept = stderr, b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while piece := os.read(self._stderr.fileno(), _KEPT_BYTES):
            self._kept = (self._kept + piece)[-_KEPT_BYTES:]

    def __call__(self) -> str:
        """For the end of a message."""
        self._reader.join(_LAST_WORDS_S)
        words = self._kept.decode("utf-8", "replace").strip().splitlines()
        return f"; its last words: {words[-1][:_LONGEST_WORDS]}" if words else ""

    def close(self) -> None:
        """Once the process is gone."""
        self._reader.join(_LAST_WORDS_S)
        if not self._reader.is_alive():  # what it left behind may still hold the other end
            self._stderr.close()
