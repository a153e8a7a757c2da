"""How long an agent may be silent: only while its host is there to listen."""

import queue
from collections.abc import Iterator

import pytest

from profilers.measuring import conversation
from profilers.measuring.events import AgentFailed, Done, Event, Hello

HELLO = b'{"type": "hello", "protocol": 1, "agent": "a", "runtime": "r", "device": {}}'
DONE = b'{"type": "done"}'


class Clock:
    """Time that a test passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("profilers.measuring.conversation.time.monotonic", lambda: self.now)


class Lines:
    """Each is said after so many seconds of waiting; while the host waits for the one that `stops`, it is stopped."""

    def __init__(self, clock: Clock, said: list[tuple[float, bytes]], stops: dict[bytes, float]) -> None:
        self.clock, self.said, self.stops = clock, said, stops

    def get(self, *, timeout: float) -> bytes:
        after, line = self.said[0]
        if stop := self.stops.pop(line, 0.0):
            self.clock.now += max(stop, timeout)
            raise queue.Empty  # as a queue does whose time is over, whatever comes next
        waited = min(after, timeout)
        self.clock.now += waited
        self.said[0] = after - waited, line
        if self.said[0][0] > 0 or waited < after:
            raise queue.Empty
        return self.said.pop(0)[1]


def heard(lines: Lines) -> Iterator[Event]:
    return conversation.checked_events(lines, 60.0, lambda: "died", lambda: "")


@pytest.mark.parametrize("stop_s", [61.0, 3600.0])
def test_while_the_host_is_stopped_no_agent_is_silent(monkeypatch: pytest.MonkeyPatch, stop_s: float) -> None:
    lines = Lines(Clock(monkeypatch), [(5.0, HELLO), (59.0, DONE)], {HELLO: stop_s, DONE: stop_s})
    assert [type(event) for event in heard(lines)] == [Hello, Done]


def test_an_agent_that_is_silent_too_long_is_given_up_after_just_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    events = heard(Lines(clock, [(5.0, HELLO), (600.0, DONE)], {DONE: 100.0}))
    next(events)
    begun = clock.now
    with pytest.raises(AgentFailed, match="no answer within 60 s"):
        next(events)
    assert clock.now - begun == pytest.approx(160.0, abs=2)
