"""`python -m profilers.lab announce`: this host's actor, told again and again what is attached."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ofa.errors import InputError
from profilers.lab.cluster import actor_name, actors, answers, connected, is_guarded, token_for_all, waited_for
from profilers.lab.config import AnnounceConfig
from profilers.lab.devices import Device, Host, announced, package
from profilers.lab.head import LabHead
from profilers.lab.host.actor import start_actor
from profilers.lab.host.attached import Attached
from profilers.lab.run.driver import HostLost
from profilers.profiling.console import ended_by_sigterm

_STARTS_S, _ENDS_S = 60.0, 40.0
_ENDS_ALONE_S = 10.0  # of jobs whose Ray has lost its head: 60 s after that, Ray ends this process
_HOLDS_S = 5.0  # the name of an actor whose process has just ended
_LOST_AFTER = 6  # answers that stay away
OPEN = (
    "warning: this Ray asks nobody for a token: whoever reaches its ports runs programs on every host; see the lab's "
    "page on keeping it closed (ray get-auth-token --generate)"
)


def announce(config: AnnounceConfig, say: Callable[[str], object], warn: Callable[[str], object]) -> None:
    """Runs until Ctrl-C or SIGTERM (KeyboardInterrupt); jobs of this host are ended then, and what they measured kept.

    InputError where the lab refuses this host, or its Ray goes away.
    """
    name = config.name or socket.gethostname()
    # within: Ray has a handler of SIGTERM of its own, which ends a process at once
    with connected(config.address, "start this command again") as head, ended_by_sigterm():
        import ray

        if not is_guarded():
            warn(OPEN)
        elif (file := token_for_all()) is not None:
            warn(f"others on this machine can read the lab's token: chmod 600 {file}")
        _check_welcome(name, package())
        attached = Attached(config, say)
        here = _Here(config, name, ray.get_runtime_context().get_node_id(), attached.look(()))
        here.start()
        try:
            _say_changes(name, [], here.devices, say)
            say(f"{name}: {_host(name, here.actor, _STARTS_S).cores}")
            _keep(here, head, attached, say)
        finally:
            there = not head.silent()
            # in order: a profiler puts its phone back
            answers({name: here.actor.close.remote()}, _ENDS_S if there else _ENDS_ALONE_S)
            if there:
                ray.kill(here.actor)


def _check_welcome(name: str, own: str) -> None:
    """InputError where hosts of the lab have another package, or one has this name."""
    there = actors()
    if name in there and not waited_for(actor_name(name), _HOLDS_S):
        raise InputError(f"a host called {name} is announced already: stop it there, or call this one by --name")
    found = answers({host: actor.facts.remote() for host, actor in there.items() if host != name})
    for host in (answer for answer in found.values() if isinstance(answer, Host)):
        if host.package != own:
            raise InputError(
                f"host {host.name} has {host.package}, here is {own}: tables of two packages are not compared; install "
                "the same on all hosts"
            )


@dataclass
class _Here:
    """This host's part of the lab."""

    config: AnnounceConfig
    name: str
    node: str
    devices: Sequence[Device]
    actor: Any = None

    def start(self) -> None:
        """Starts the actor; InputError where a host of this name is announced."""
        try:
            self.actor = start_actor(self.name, self.node, self.config.work, self.config.timed_cpus, self.devices)
        except ValueError:  # of two at the same moment, Ray takes the first
            raise InputError(f"a host called {self.name} is announced already: call this one by --name") from None


def _host(name: str, actor: Any, timeout_s: float) -> Host:
    answer = answers({name: actor.facts.remote()}, timeout_s)[name]
    if isinstance(answer, HostLost):
        raise InputError(f"Ray does not start this host's part: {answer}")
    assert isinstance(answer, Host)
    return answer


def _keep(here: _Here, head: LabHead, attached: Attached, say: Callable[[str], object]) -> None:
    """Looks what is attached, and tells the actor, until this process is stopped; InputError where Ray goes away."""
    silent, refused = 0, set[str]()
    while True:
        time.sleep(here.config.every)
        head.require()
        doing = answers({here.name: here.actor.doing.remote()})[here.name]
        if isinstance(doing, HostLost):
            silent += 1
            if silent >= _LOST_AFTER:
                raise InputError(f"the lab's Ray went away ({doing}): start it, then this command again")
            if waited_for(actor_name(here.name), 0.0):
                say(f"{here.name}: its part of the lab ended ({doing}), and is started anew")
                here.start()
            continue
        silent = 0
        now = attached.look({each.device for each in doing})
        if now != here.devices:
            answers({here.name: here.actor.attach.remote(now)})
            _say_changes(here.name, here.devices, now, say)
            here.devices = now
        for line in _refused(here.name) - refused:
            say(line)
            refused.add(line)


def _refused(name: str) -> set[str]:
    """What of this host may not be used, such as a phone that another host announces too."""
    found = answers({host: actor.facts.remote() for host, actor in actors().items()})
    hosts = {host: answer for host, answer in found.items() if isinstance(answer, Host)}
    own = {device.id for device in hosts[name].devices} if name in hosts else set()
    return {
        line for line in announced(hosts, package()).refused if line.split(" ")[0] in own and "announced by" in line
    }


def _say_changes(name: str, before: Sequence[Device], now: Sequence[Device], say: Callable[[str], object]) -> None:
    was, there = ({device.id: device for device in devices} for devices in (before, now))
    for key, device in there.items():
        if was.get(key) != device:
            what = f"cannot be used: {device.trouble}" if device.trouble else f"{device.model}, {device.kind}"
            say(f"{name}: {key} is attached: {what}")
    for key in was:
        if key not in there:
            say(f"{name}: {key} is gone")
