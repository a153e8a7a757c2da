"""The lab's Ray: connections, and the hosts by their actors. Each announced host has one actor, named after it.

Ray's custom resources are not used for devices: a node's resources cannot change after it has started (Ray removed
`set_resource` in 2021), and phones come and go. A host's actor says what is attached, and one job at a time uses a
device. The cluster still is Ray's: who is there, messages, actors started anew, failures noticed.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ofa.errors import InputError, one_line
from ofa.optional_packages import require
from ofa.runs.system import others_may_read
from profilers.lab.devices import Host
from profilers.lab.head import LabHead, place_of
from profilers.lab.host.jobs import Doing
from profilers.lab.orders import Begun, Look, Order
from profilers.lab.run.driver import HostLost

NAMESPACE = "ofa-lab"
ANSWER_S = 10.0
SLOW_S = 1.0
EVERYWHERE = "Ray listens on all networks: close its ports first"
_TOKEN = "this user needs the same in ~/.ray/auth_token"
_PREFIX = "host "


@contextmanager
def connected(address: str, then: str = "begin anew") -> Iterator[LabHead]:
    """A connection to the lab's Ray; InputError where there is none, of another version, or it goes away.

    then: what to do when it is there again, after a comma
    """
    require("ray", "a lab")
    _check_there(address)
    if "RAY_AUTH_MODE" not in os.environ and has_token():
        # by itself Ray uses the token for --address auto alone; read when it is imported
        os.environ["RAY_AUTH_MODE"] = "token"
    import ray

    logging.getLogger("ray.util.client").setLevel(logging.CRITICAL)  # its words come beside ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise InputError(
            f"no Ray answers at --address {address}: start it (ray start --head, on the other hosts ray start "
            f"--address HEAD:6379; {EVERYWHERE}), or name where it is; if it asks for a token, {_TOKEN}: "
            f"{_shown(error)}"
        ) from None
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(f"Ray at --address {address} refuses: {_shown(error)}") from None

    def gone(why: str) -> str:
        return f"the lab's Ray at --address {address} went away ({why}); when it is there again, {then}"

    head = LabHead(_places(address))
    if not address.startswith("ray://"):  # a client's Ray ends no process
        head.end_if_stuck(gone("it does not answer"))
    try:
        yield head
    except BrokenPipeError:  # whoever read what we print
        raise
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise InputError(gone(_shown(error))) from None
    finally:
        ray.shutdown()
        head.leave()


def _places(address: str) -> dict[str, tuple[str, int]]:
    """What has to answer: the head, and Ray's part on this host. Of a client, the head alone."""
    import ray

    if address.startswith("ray://"):
        place = place_of(address)
        return {} if place is None else {"its head": place}
    here = ray.get_runtime_context()
    head = place_of(here.gcs_address)
    parts = {each["NodeID"]: (each["NodeManagerAddress"], each["NodeManagerPort"]) for each in ray.nodes()}
    own = parts.get(here.get_node_id())
    return {
        **({} if head is None else {"its head": head}),
        **({} if own is None else {"its part on this host": own}),
    }


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


def has_token() -> bool:
    """Whether there is a token where Ray looks for it."""
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or _token_file().is_file()


def _token_file() -> Path:
    # Path.home() raises where there is none
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111


def token_for_all() -> Path | None:
    """The file of the token where others on this machine may read it: Ray makes it so."""
    path = _token_file()
    try:
        return path if others_may_read(path) else None
    except OSError:
        return None


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


class _Asked:
    """What hosts were asked that may be slow: a host that does not answer keeps nobody waiting for the others."""

    def __init__(self) -> None:
        # {host: the answer to be, when it was asked}
        self._waiting: dict[str, tuple[Any, float]] = {}
        self._met: set[str] = set()

    def answers(self, ask: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """{host: its answer, or HostLost} of those that answer soon, or have not for long; nothing is asked twice.

        A host that was never asked before has all its time.
        """
        timeout_s = SLOW_S if self._met.issuperset(ask) else ANSWER_S
        self._met |= ask.keys()
        for host, ask_it in ask.items():
            if host not in self._waiting:
                self._waiting[host] = (ask_it(), time.monotonic())
        late, found = HostLost("late"), {}
        for host, answer in answers({host: self._waiting[host][0] for host in ask}, timeout_s, late).items():
            if answer is not late:
                found[host] = answer
            elif time.monotonic() - self._waiting[host][1] >= ANSWER_S:
                found[host] = HostLost(f"no answer for {ANSWER_S:g} s")
        for host in found:
            del self._waiting[host]
        return found


class RayHosts:
    """The hosts of a lab over Ray. All calls raise HeadGone where its head has gone."""

    def __init__(self, head: LabHead) -> None:
        self._head = head
        self._actors: dict[str, Any] = {}
        # of those that answered last; one that is slow is still there
        self._known: dict[str, Host] = {}
        self._facts, self._looks = _Asked(), _Asked()

    def look(self) -> dict[str, Host]:
        self._head.require()
        self._actors = actors()
        found = self._facts.answers({host: actor.facts.remote for host, actor in self._actors.items()})
        known = {**self._known, **found}
        self._known = {
            host: answer for host, answer in known.items() if host in self._actors and isinstance(answer, Host)
        }
        return dict(self._known)

    def doing(self) -> dict[str, list[Doing]]:
        """{host: what runs there}"""
        self._head.require()
        found = answers({host: actor.doing.remote() for host, actor in self._actors.items()})
        return {host: answer for host, answer in found.items() if not isinstance(answer, HostLost)}

    def begin(self, host: str, order: Order, files: Mapping[str, bytes]) -> Begun:
        answer = self._asked(host, lambda actor: actor.begin.remote(order, dict(files)))
        assert isinstance(answer, Begun)
        return answer

    def poll(self, wanted: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, Look] | HostLost]:
        """Hosts that are slow to answer are left out, and asked nothing new, so that the others need not wait."""
        self._head.require()
        asked = {
            host: functools.partial(self._actors[host].look.remote, marks)
            for host, marks in wanted.items()
            if host in self._actors
        }
        gone = {host: HostLost("it is not announced any more") for host in wanted if host not in asked}
        return {**self._looks.answers(asked), **gone}

    def stop(self, keys: Mapping[str, Sequence[str]]) -> None:
        self._head.require()
        answers({host: self._actors[host].stop.remote(each) for host, each in keys.items() if host in self._actors})

    def forget(self, host: str, keys: Sequence[str]) -> None:
        with suppress(HostLost):
            self._asked(host, lambda actor: actor.forget.remote(keys))

    def _asked(self, host: str, ask: Callable[[Any], Any]) -> Any:
        self._head.require()
        if host not in self._actors:
            raise HostLost("it is not announced any more")
        answer = answers({host: ask(self._actors[host])})[host]
        if isinstance(answer, HostLost):
            raise answer
        return answer


def waited_for(name: str, timeout_s: float) -> bool:
    """Whether an actor of that name goes away in time: the name of one that ended is free a moment later.

    False too where Ray does not answer.
    """
    import ray

    until = time.monotonic() + timeout_s
    with suppress(ray.exceptions.RayError, ConnectionError):
        while name in ray.util.list_named_actors():
            if time.monotonic() >= until:
                return False
            time.sleep(0.2)
        return True
    return False
