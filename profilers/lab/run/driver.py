"""Jobs of a run, begun on the hosts that hold their devices, followed and gone on with until all have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ofa.errors import InputError
from ofa.runs.journal import Journal
from profilers.lab.devices import Announced, Host, announced
from profilers.lab.logs import last_error
from profilers.lab.orders import LOG, Begun, Look, Order
from profilers.lab.plan import Job, LabEntry
from profilers.lab.run.returned import Returned

TICK_S = 0.25
LOOK_EVERY_S = 3.0
STOPPING_S = 40.0  # a profiler has 30 to put its device back
GOOD = (0, 1)
FAILED = 2


class HostLost(Exception):
    """A host that does not answer; the message says how."""


class Hosts(Protocol):
    """The hosts of a lab, as a run asks them."""

    def look(self) -> Mapping[str, Host]:
        """Those that answer now."""
        ...

    def begin(self, host: str, order: Order, files: Mapping[str, bytes]) -> Begun:
        """HostLost where it does not answer."""
        ...

    def poll(
        self, wanted: Mapping[str, Mapping[str, Mapping[str, str]]]
    ) -> Mapping[str, Mapping[str, Look] | HostLost]:
        """{host: {job's key: how it is}}; slow ones may be left out. wanted: {host: {key: marks}}"""
        ...

    def stop(self, keys: Mapping[str, Sequence[str]]) -> None:
        """{host: keys of jobs that are asked to end}; a host that does not answer is passed over."""
        ...

    def forget(self, host: str, keys: Sequence[str]) -> None:
        """The host need not keep these any longer."""
        ...


@dataclass
class Task:
    """One job on its way. state: waits, runs, done or failed; why: what it waits for, or why it failed

    away_since: when it began to wait for a device or a host; failures: how often its command failed
    """

    job: Job
    entry: LabEntry
    returned: Returned
    state: str = "waits"
    why: str = ""
    host: str = ""
    code: int | None = None
    failures: int = 0
    began: float = 0.0
    seconds: float = 0.0
    away_since: float | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed")

    @property
    def folder(self) -> Path:
        return self.returned.folder


@dataclass
class LabRun:
    """A run. run: what tells it from all others; by: who asks, in words; own: its package

    files: a job's own, {name: content}; say: told a line; patience_s: how long to wait for what went away
    """

    hosts: Hosts
    tasks: Sequence[Task]
    journal: Journal
    run: str
    by: str
    own: str
    files: Callable[[Task], Mapping[str, bytes]]
    say: Callable[[str], object]
    show: Callable[[Sequence[Task]], object]
    patience_s: float

    def __post_init__(self) -> None:
        self._known = Announced()
        self._looked = -LOOK_EVERY_S
        self._told: set[str] = set()
        self._keys = {self._order(task).key: task for task in self.tasks}
        self._named = {task.job.name: task for task in self.tasks}

    def to_the_end(self) -> None:
        """Returns when every job has ended or failed. KeyboardInterrupt: they have been stopped, and are fetched."""
        try:
            while not all(task.is_over for task in self.tasks):
                self._step()
                self.show(self.tasks)
                time.sleep(TICK_S)
        except KeyboardInterrupt:
            self._stop()
            raise

    def _step(self) -> None:
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._known = announced(self.hosts.look(), self.own)
            self._looked = time.monotonic()
            for line in self._known.refused:
                self._tell(line)
        self._begin_ready()
        self._follow()

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.say(line)

    def _begin_ready(self) -> None:
        taken = {task.job.device for task in self.tasks if task.state == "runs"}
        for task in self.tasks:
            if task.state != "waits" or task.job.device in taken:
                continue
            taken.add(task.job.device)  # in the order of the file, whatever each waits for
            before = self._before(task)
            if before is not None and before.state == "failed":
                self._end(task, "failed", f"{before.job.name} failed, whose table it needs")
            elif before is None or before.state == "done":
                self._begin(task)

    def _before(self, task: Task) -> Task | None:
        return self._named.get(f"{task.entry.after}/{task.job.subject}")

    def _begin(self, task: Task) -> None:
        place = self._known.devices.get(task.job.device)
        if place is None:
            self._wait(task, task.why or "its device is not in the lab now")
            return
        host = place[0]
        try:
            files = {**self.files(task), **task.returned.content()}
        except InputError as error:  # a table that was not made, a file that is gone
            self._end(task, "failed", str(error))
            return
        try:
            begun = self.hosts.begin(host, self._order(task), files)
        except HostLost as lost:
            self._wait(task, str(lost))
            return
        if begun.refused:
            self._end(task, "failed", f"on {host}: {begun.refused}")
        elif begun.waits:
            self._wait(task, f"on {host}: {begun.waits}", in_turn=begun.by_run == self.run)
        else:
            task.state, task.host, task.why, task.away_since = "runs", host, "", None
            task.began = time.monotonic()

    def _order(self, task: Task) -> Order:
        job = task.job
        return Order(job.name, job.device, job.words, self.run, self.by, job.threads, job.cpus)

    def _wait(self, task: Task, why: str, *, in_turn: bool = False) -> None:
        """Waits for what may come back, as long as the user's patience lasts. in_turn: for a job of this run, always"""
        now = time.monotonic()
        task.away_since = None if in_turn else task.away_since or now
        if why != task.why:
            task.why = why
            if not in_turn:
                self.say(f"{task.job.name} waits: {why}")
        if task.away_since is not None and now - task.away_since >= self.patience_s:
            self._end(task, "failed", f"{why}, for {self.patience_s / 60:g} minutes")

    def _follow(self) -> None:
        wanted: dict[str, dict[str, dict[str, str]]] = {}
        for key, task in self._keys.items():
            if task.state == "runs":
                wanted.setdefault(task.host, {})[key] = task.returned.marks
        for host, looks in (self.hosts.poll(wanted) if wanted else {}).items():
            if isinstance(looks, HostLost):
                self._lost([self._keys[key] for key in wanted[host]], host, looks)
                continue
            for key, look in looks.items():
                self._take(self._keys[key], key, look)

    def _lost(self, tasks: Iterable[Task], host: str, how: HostLost) -> None:
        """What was in flight there is lost; what came back before is not."""
        self._looked = -LOOK_EVERY_S
        for task in tasks:
            task.state, task.host = "waits", ""
            self._wait(task, f"host {host} went away ({how}); it goes on when the device is back")

    def _take(self, task: Task, key: str, look: Look) -> None:
        if look.state == "unknown":  # the host's part was started anew
            self._lost([task], task.host, HostLost("it was started anew"))
            return
        task.returned.take(look)
        if look.state != "ended" or look.more or task.returned.differing(look.sums):
            return
        assert look.code is not None
        task.code, task.seconds = look.code, task.seconds + time.monotonic() - task.began
        self.hosts.forget(task.host, [key])
        if look.code in GOOD:
            self._end(task, "done", "")
            return
        self._failed(task, look.code)

    def _failed(self, task: Task, code: int) -> None:
        """A command that ended otherwise: the device went away, it is tried again, or the job has failed."""
        error = last_error(task.folder / LOG) or f"it ended with code {code}"
        self._known = announced(self.hosts.look(), self.own)
        self._looked = time.monotonic()
        if task.job.device not in self._known.devices:
            task.state = "waits"
            self._wait(task, f"its device went away ({error}); it goes on when the device is back")
        elif task.failures < task.entry.retries:
            task.failures += 1
            task.state = "waits"
            self.say(f"{task.job.name} is tried again on {task.host}: {error}")
        else:
            self._end(task, "failed", f"on {task.host}: {error}")

    def _end(self, task: Task, state: str, why: str) -> None:
        task.state, task.why = state, why
        record = {"kind": "ended", "job": task.job.name, "state": state, "code": task.code, "host": task.host}
        self.journal.append({**record, "why": why, "seconds": round(task.seconds, 3)})
        self.say(f"{task.job.name} failed: {why}" if why else f"{task.job.name} ended with {task.code} on {task.host}")

    def _stop(self) -> None:
        """Ends all jobs in order, and fetches what they leave."""
        running = [task for task in self.tasks if task.state == "runs"]
        keys: dict[str, list[str]] = {}
        for key, task in self._keys.items():
            if task.state == "runs":
                keys.setdefault(task.host, []).append(key)
        self.hosts.stop(keys)
        until = time.monotonic() + STOPPING_S
        left = {(host, key) for host, each in keys.items() for key in each}
        while left and time.monotonic() < until:
            wanted: dict[str, dict[str, dict[str, str]]] = {}
            for host, key in left:
                wanted.setdefault(host, {})[key] = self._keys[key].returned.marks
            for host, looks in self.hosts.poll(wanted).items():
                there = dict.fromkeys(wanted[host], Look("unknown")) if isinstance(looks, HostLost) else looks
                for key, look in there.items():
                    self._keys[key].returned.take(look)
                    if look.state == "unknown" or (look.state == "ended" and not look.more):
                        left.discard((host, key))
            time.sleep(TICK_S)
        for task in running:
            task.state = "waits"
