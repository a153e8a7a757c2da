"""A network that runs in a loop on its table's device: window after window, each in a journal before the next begins.

A loop that was ended cannot be gone on with, since the device cools meanwhile: it begins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.runs.places import temporary_folder
from ofa.tables import LatencyTable
from profilers.looping.minutes import BEHIND, LoopPlan, Record
from profilers.measuring.events import (
    AGENT_FACTS,
    HOST_FACTS,
    PROTOCOL,
    AgentFailed,
    Begins,
    Done,
    Error,
    Hello,
    Result,
    event_of,
    is_number,
    shown,
)
from profilers.measuring.models import write_models
from profilers.measuring.target import Target

# agents that know loops, as tables' headers name them; and a runtime whose tool knows none
AGENTS = ("cpu", "android", "linux")
_NO_LOOPS = "benchmark_model"
# the network's name in manifests
NETWORK = "network"
# runs shorter than this share a sample: a journal of an hour stays below 100 MB
_SAMPLE_US = 1000
# what a window must tell beside its samples
_TOLD = ("loop_ns", "timed_ns", "late")
_Kind = TypeVar("_Kind", Hello, Result)


@dataclass(frozen=True)
class Loop:
    """What was made of a loop. hello: what the agent told of the device; when: it began; windows: its results"""

    hello: Hello
    when: str
    windows: Sequence[Record]


def check_loops(table: LatencyTable) -> None:
    """InputError where the agent of a table's device knows no loops."""
    agent = table.header.get("agent", "cpu")
    if agent not in AGENTS or table.header["runtime"].startswith(_NO_LOOPS):
        what = _NO_LOOPS if agent in AGENTS else f"the agent {agent!r}"
        raise InputError(
            f"{table.path} was measured by {what}, which runs no loops: --sustained is for CPUs, boards and phones"
        )


def open_loop(path: Path, settings: Mapping[str, Any], plan: LoopPlan, *, resume: bool) -> tuple[Journal, Loop | None]:
    """The journal of a loop, and the loop where it was made whole before. InputError where it is of other settings."""
    bound = {**settings, "loop": asdict(plan)}
    # one that was ended is of no use, and a whole one is of a run that verify's own journals guard
    journal = Journal.begin(path, bound, resume=resume, overwrite=True)
    try:
        made = _made(journal)
    except (AgentFailed, InputError, KeyError, TypeError, ValueError):
        journal.close()
        raise InputError(f"{path} is damaged: remove it, and --resume begins the loop again") from None
    return journal, made if made and len(made.windows) == plan.windows else None


def _made(journal: Journal) -> Loop | None:
    """The last loop of a journal, as far as it got."""
    made: Loop | None = None
    when = ""
    for record in journal.records:
        kind = record.get("kind")
        if kind == "begin":
            when, made = datetime.fromisoformat(record["when"]).isoformat(timespec="seconds"), None
        elif kind == "hello":
            made = Loop(_as(Hello, event_of(record, AGENT_FACTS | HOST_FACTS)), when, [])
        elif kind == "window" and made is not None:
            window = _as(Result, event_of(record))
            _check_loop(window)
            behind = record.get(BEHIND)
            if not isinstance(behind, float) or not is_number(behind):
                raise TypeError(BEHIND)
            follows = (window.visit, window.id) == (len(made.windows), NETWORK)
            windows = [*made.windows, {**window.record(), BEHIND: behind}]
            made = Loop(made.hello, when, windows) if follows else None  # a damaged one was left out
    return made


def _as(kind: type[_Kind], event: object) -> _Kind:
    if not isinstance(event, kind):
        raise TypeError(kind.__name__)
    return event


class _DeviceClock:
    """By how many seconds a device's clock has fallen behind ours: it stands still while the device sleeps."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, window: Result) -> float:
        """At the end of a window, against the first one's."""
        ahead = time.monotonic() - float(window.watched["loop_ns"] + window.watched["timed_ns"]) / 1e9
        self._first = ahead if self._first is None else self._first
        return ahead - self._first


def make_loop(
    journal: Journal,
    target: Target,
    chain: tuple[Block, ...],
    plan: LoopPlan,
    seed: int,
    watch: Callable[[Sequence[Record]], object],
) -> Loop:
    """Runs a network for as long as planned. watch: told of all windows after every one

    Raises AgentFailed where the agent or the connection ends before; InputError where the network cannot be run.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    journal.append({"kind": "begin", "when": when})
    hello: Hello | None = None
    windows: list[Record] = []
    clock = _DeviceClock()
    with temporary_folder("models") as folder:
        file = write_models({NETWORK: chain}, target.runtime, folder, target.batch, target.dtype)[NETWORK]
        for event in windows_of(target, folder, file, plan, seed):
            if isinstance(event, Hello):
                hello = event
                journal.append({"kind": "hello", **event.record()})
            else:
                window = {**event.record(), BEHIND: round(clock(event), 3)}
                windows.append(window)
                journal.append({**window, "kind": "window"})
                watch(windows)
    assert hello is not None, "windows come after a hello"
    return Loop(hello, when, windows)


def windows_of(
    target: Target, folder: Path, file: str, plan: LoopPlan, seed: int, *, battery: bool = False
) -> Iterator[Hello | Result]:
    """What an agent says of a loop: hello, then the result of every window. file: of the model, in the folder

    battery: whether Android's service is to be asked of the battery, where the kernel does not tell
    """
    manifest = {
        **target.manifest,
        "protocol": PROTOCOL,
        "seed": seed,
        "rules": {**target.pace.whole, "min_sample_us": _SAMPLE_US},
        "sustained": {**plan.manifest(), **({"battery": True} if battery else {})},
        "models": [{"id": NETWORK, "path": file}],
        "visits": [NETWORK] * plan.windows,
    }
    turn = 0
    for event in target.start(folder, manifest):
        if isinstance(event, Hello):
            yield event
        elif isinstance(event, Error):
            # of a loop, what fails once fails again
            raise InputError(f"the network cannot be run in a loop: {event.message}")
        elif isinstance(event, Begins | Result) and (event.visit, event.id) != (turn, NETWORK):
            raise AgentFailed(f"the agent spoke of visit {event.visit!r} of {event.id!r}, but visit {turn} was due")
        elif isinstance(event, Result):
            _check_loop(event)
            yield event
            turn += 1
        elif isinstance(event, Done) and turn < plan.windows:
            raise AgentFailed(f"the agent was done after {turn} of {plan.windows} windows")


def _check_loop(window: Result) -> None:
    if "loop_ns" not in window.watched:
        raise InputError(
            "the agent on the device knows no loops: build it again from device_agents, or leave out yours"
        )
    for name in _TOLD:
        value = window.watched.get(name)
        if value is None or value < 0:
            raise AgentFailed(f"the agent's window has no sound {name}: {shown(value)}")
