"""A host's part of the lab as a Ray actor: calls are passed on to `HostJobs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profilers.lab.cluster import actor_name
from profilers.lab.devices import Device, Host, package, runtimes
from profilers.lab.host.jobs import Doing, HostJobs
from profilers.lab.orders import Begun, Look, Order

_CALLS_AT_ONCE = 4


class HostActor:
    """One host. Its jobs end with its process."""

    def __init__(self, name: str, work: Path, timed: int, devices: Sequence[Device]) -> None:
        self._name = name
        self._jobs = HostJobs(work, timed)
        self._jobs.attach(devices)

    def facts(self) -> Host:
        return Host(self._name, package(), runtimes(), self._jobs.devices, self._jobs.cores)

    def attach(self, devices: Sequence[Device]) -> None:
        self._jobs.attach(devices)

    def begin(self, order: Order, files: Mapping[str, bytes]) -> Begun:
        return self._jobs.begin(order, files)

    def look(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, Look]:
        return self._jobs.look(wanted)

    def doing(self) -> list[Doing]:
        return self._jobs.doing()

    def stop(self, keys: Sequence[str]) -> None:
        self._jobs.stop(keys)

    def forget(self, keys: Sequence[str]) -> None:
        self._jobs.forget(keys)

    def close(self) -> None:
        self._jobs.close()


def start_actor(name: str, node: str, work: Path, timed: int, devices: Sequence[Device]) -> Any:
    """The actor of a host, on its node. ValueError where a host of that name is announced already."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    made = ray.remote(HostActor).options(
        name=actor_name(name),
        num_cpus=0,
        max_concurrency=_CALLS_AT_ONCE,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
    )
    return made.remote(name, work, timed, list(devices))
