"""A lab in one process: hosts whose devices are made up, with a profiler that really runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.runs.journal import Journal
from profilers.lab.devices import Device, Host, package
from profilers.lab.host.jobs import HostJobs
from profilers.lab.orders import Begun, Look, Order
from profilers.lab.plan import Job, LabEntry
from profilers.lab.run.driver import HostLost, LabRun, Task
from profilers.lab.run.returned import Returned

PROFILER = "tests.helpers.lab_profiler"


class LocalHosts:
    """Hosts without Ray. away: hosts that do not answer"""

    def __init__(self, folder: Path, devices: Mapping[str, Sequence[Device]], usable: Sequence[int] = (0, 1)) -> None:
        self.jobs = {name: HostJobs(folder / name, usable=usable) for name in devices}
        for name, attached in devices.items():
            self.jobs[name].attach(attached)
        self.away: set[str] = set()
        self.package = package()

    def look(self) -> dict[str, Host]:
        return {
            name: Host(name, self.package, {}, jobs.devices)
            for name, jobs in self.jobs.items()
            if name not in self.away
        }

    def _of(self, host: str) -> HostJobs:
        if host in self.away:
            raise HostLost("its node died")
        return self.jobs[host]

    def begin(self, host: str, order: Order, files: Mapping[str, bytes]) -> Begun:
        return self._of(host).begin(order, files)

    def poll(self, wanted: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, Any]:
        found: dict[str, dict[str, Look] | HostLost] = {}
        for host, marks in wanted.items():
            try:
                found[host] = self._of(host).look(marks)
            except HostLost as lost:
                found[host] = lost
        return found

    def stop(self, keys: Mapping[str, Sequence[str]]) -> None:
        for host, each in keys.items():
            if host not in self.away:
                self.jobs[host].stop(each)

    def forget(self, host: str, keys: Sequence[str]) -> None:
        self._of(host).forget(keys)

    def kill(self, host: str) -> None:
        """As kill -9 of a node: its jobs end, its folder is there no more when it comes back."""
        self.jobs[host].close()
        self.away.add(host)

    def close(self) -> None:
        for jobs in self.jobs.values():
            jobs.close()


def phone(name: str, **facts: Any) -> Device:
    return Device(f"phone-{name}", "phone", name, **{"model": "Pixel 8", "soc": "Tensor G3", **facts})


def job(device: str, seed: int = 0, visits: int = 20, visit_ms: float = 1.0, **more: Any) -> Job:
    """A profile of a made-up device. more: other options of the profiler"""
    words = ["--out", f"{device}.csv", "--visits", str(visits), "--visit-ms", str(visit_ms), "--seed", str(seed)]
    words += [word for name, value in more.items() for word in (f"--{name}", str(value))]
    return Job("tables", device, device, (PROFILER, *words, "--resume"), "Pixel 8")


def run_of(
    hosts: Any,
    out: Path,
    jobs: Sequence[Job],
    say: Callable[[str], object] = print,
    *,
    retries: int = 1,
    patience_s: float = 60.0,
    show: Callable[[Sequence[Task]], object] = len,
    run: str = "r",
    own: str | None = None,
) -> LabRun:
    """A run of jobs, ready to be begun; its journal is to be closed."""
    entry = LabEntry("tables", "profile", retries=retries)
    tasks = [Task(each, entry, Returned(out / each.name)) for each in jobs]
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal.create(out / "lab.journal.jsonl", {})
    return LabRun(hosts, tasks, journal, run, f"me ({run})", own or package(), lambda _: {}, say, show, patience_s)
