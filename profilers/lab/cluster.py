"""The lab's Ray: connections, and the hosts by their actors. Each announced host has one actor, named after it.

Ray's custom resources are not used for devices: a node's resources cannot change after it has started (Ray removed
`set_resource` in 2021), and phones come and go. A host's actor says what is attached, and one job at a time uses a
device. The cluster still is Ray's: who is there, messages, actors started anew, failures noticed.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ofa.errors import InputError, one_line
from ofa.optional_packages import require
from profilers.lab.devices import Host
from profilers.lab.host.jobs import Doing
from profilers.lab.orders import Begun, Look, Order
from profilers.lab.run.driver import HostLost

NAMESPACE = "ofa-lab"
ANSWER_S = 10.0
SLOW_S = 1.0
EVERYWHERE = "Ray listens on all networks: close its ports first, as the lab's page says"
_PREFIX = "host "


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the lab's Ray; InputError where there is none, or of another version."""
    require("ray", "a lab")
    _check_there(address)
    import ray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise InputError(
            f"no Ray answers at --address {address}: start it (ray start --head, on the other hosts ray start "
            f"--address HEAD:6379; {EVERYWHERE}), or name where it is: {_shown(error)}"
        ) from None
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(f"Ray at --address {address} refuses: {_shown(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_there(address: str) -> None:
    """InputError where nobody listens: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # auto, or what Ray says more of
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: such as a..b, which is no host's name
        raise InputError(
            f"no Ray answers at --address {address} ({error}): start it there (ray start --head; "
            f"{EVERYWHERE}), or name where it is"
        ) from None


def is_guarded() -> bool:
    """Whether Ray asks everybody for the lab's token: Ray sets this where it found one, too."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def actors() -> dict[str, Any]:
    """{host: its actor} of all that are announced."""
    import ray

    found = {}
    for name in ray.util.list_named_actors():
        if name.startswith(_PREFIX):
            with suppress(ValueError):  # gone meanwhile
                found[name.removeprefix(_PREFIX)] = ray.get_actor(name)
    return found


def actor_name(host: str) -> str:
    return f"{_PREFIX}{host}"


def answers(asked: Mapping[str, Any], timeout_s: float = ANSWER_S, late: HostLost | None = None) -> dict[str, Any]:
    """{host: its answer, or HostLost}. asked: {host: a reference}; all are waited for together

    late: stands for an answer that has not come in time
    """
    import ray

    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=timeout_s) if asked else ([], [])
    there = set(ready)
    found: dict[str, Any] = {}
    for host, reference in asked.items():
        if reference not in there:
            found[host] = late or HostLost(f"no answer for {timeout_s:g} s")
            continue
        try:
            found[host] = ray.get(reference)
        except ray.exceptions.RayError as error:
            found[host] = HostLost(_why_lost(error))
    return found


def _why_lost(error: Exception) -> str:
    """A few words of what Ray says at length."""
    import ray

    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "it does not answer"
    if isinstance(error, ray.exceptions.ActorDiedError):
        return "its node died, or announce was ended there"
    return _shown(error)


def _shown(error: Exception) -> str:
    return one_line(" ".join(str(error).split()))[:300]


class RayHosts:
    """The hosts of a lab over Ray."""

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}
        # {host: what it was asked and has not answered, when}
        self._asked_at: dict[str, tuple[Any, float]] = {}

    def look(self) -> dict[str, Host]:
        self._actors = actors()
        found = answers({host: actor.facts.remote() for host, actor in self._actors.items()})
        return {host: answer for host, answer in found.items() if not isinstance(answer, HostLost)}

    def doing(self) -> dict[str, list[Doing]]:
        """{host: what runs there}"""
        found = answers({host: actor.doing.remote() for host, actor in self._actors.items()})
        return {host: answer for host, answer in found.items() if not isinstance(answer, HostLost)}

    def begin(self, host: str, order: Order, files: Mapping[str, bytes]) -> Begun:
        answer = self._asked(host, lambda actor: actor.begin.remote(order, dict(files)))
        assert isinstance(answer, Begun)
        return answer

    def poll(self, wanted: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, Look] | HostLost]:
        """Hosts that are slow to answer are left out, and asked nothing new, so that the others need not wait."""
        found: dict[str, dict[str, Look] | HostLost] = {}
        for host in wanted:
            if host not in self._actors:
                found[host] = HostLost("it is not announced any more")
            elif host not in self._asked_at:
                self._asked_at[host] = (self._actors[host].look.remote(wanted[host]), time.monotonic())
        asked = {host: self._asked_at[host][0] for host in wanted if host in self._asked_at}
        late = HostLost("late")
        for host, answer in answers(asked, SLOW_S, late).items():
            if answer is not late:
                del self._asked_at[host]
                found[host] = answer
            elif time.monotonic() - self._asked_at[host][1] >= ANSWER_S:
                del self._asked_at[host]
                found[host] = HostLost(f"no answer for {ANSWER_S:g} s")
        return found

    def stop(self, keys: Mapping[str, Sequence[str]]) -> None:
        answers({host: self._actors[host].stop.remote(each) for host, each in keys.items() if host in self._actors})

    def forget(self, host: str, keys: Sequence[str]) -> None:
        with suppress(HostLost):
            self._asked(host, lambda actor: actor.forget.remote(keys))

    def _asked(self, host: str, ask: Callable[[Any], Any]) -> Any:
        if host not in self._actors:
            raise HostLost("it is not announced any more")
        answer = answers({host: ask(self._actors[host])})[host]
        if isinstance(answer, HostLost):
            raise answer
        return answer


def waited_for(name: str, timeout_s: float) -> bool:
    """Whether an actor of that name goes away in time: the name of one that ended is free a moment later."""
    import ray

    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if name not in ray.util.list_named_actors():
            return True
        time.sleep(0.2)
    return False
