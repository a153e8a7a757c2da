"""A board as a target: its CPUs, and the agents that are started there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError
from profilers.devices.board.ssh import Board, Facts
from profilers.devices.cores import Cluster, fastest, kinds_of_cores, of_cluster
from profilers.devices.delegates import Dtype, asked_dtype, check_computed, dtype_of
from profilers.measuring.events import Event
from profilers.measuring.target import Target

if TYPE_CHECKING:
    from device_agents.android.bundle import Bundle


def board_target(
    board: Board,
    agent: Bundle,
    *,
    batch: int,
    delegate: str,
    dtype: Dtype,
    threads: int,
    cpus: Sequence[int],
    timeout_s: float,
    say: Callable[[str], object],
    cluster: Cluster | None = None,
) -> Target:
    """One board. agent: built for its machine; cpus: of `chosen_cpus`; cluster: as they were asked for"""
    files = {name: agent.folder / name for name in agent.files}
    return Target(
        runtime="tflite",
        batch=batch,
        manifest={
            "runtime": "tflite",
            "backend": agent.backend,
            "delegate": delegate,
            "threads": threads,
            "cpus": list(cpus),
            **asked_dtype(dtype),
            **agent.manifest_fields,
        },
        start=AgentOnBoard(board, files, agent.start_command, timeout_s, say).start,
        header={
            "agent": "linux",
            "threads": str(threads),
            "dtype": dtype_of(delegate, dtype),
            "delegate": delegate,
            **({"cores": cluster} if cluster else {}),
        },
    )


class AgentOnBoard:
    """Sends agent and models once, and starts agents: `start` of profilers.measuring.target.Target."""

    def __init__(
        self,
        board: Board,
        files: Mapping[str, Path],
        command: Sequence[str],
        timeout_s: float,
        say: Callable[[str], object],
    ) -> None:
        self._board, self._files, self._command = board, files, command
        self._timeout_s, self._say = timeout_s, say
        self._folders: tuple[str, str] | None = None
        self._sent: Path | None = None

    def start(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        """An agent's events. A further measurement's models lie in another folder, and are sent too."""
        if self._folders is None or self._sent != folder:
            models = {path.name: path for path in folder.glob("*.tflite")}
            self._say(f"sending agent and {len(models)} models to {self._board.host}, if it lacks them")
            self._folders = self._board.ensure("agent", self._files), self._board.ensure("models", models)
            self._sent = folder
        for event in self._board.agent(*self._folders, self._command, manifest, self._timeout_s):
            check_computed(event)
            yield event


def chosen_cpus(
    facts: Facts, asked: Sequence[int] | None, threads: int | None, cluster: Cluster | None = None
) -> list[int]:
    """The CPUs or the cluster asked for, or the fastest, the last of equal ones first, one a thread.

    InputError if they are not to be had.
    """
    if cluster is not None:
        kinds = kinds_of_cores(facts.max_khz, facts.capacity)
        return of_cluster(cluster, kinds, facts.usable, facts.max_khz, threads, "the board")
    if asked is None:
        if (threads or 1) > len(facts.usable):
            raise InputError(f"--threads is {threads}, but the board lets us use {len(facts.usable)} CPUs")
        return fastest(facts.usable, facts.max_khz, threads or 1)
    for cpu in asked:
        if cpu not in facts.usable:
            raise InputError(f"--cpu names CPU {cpu}, the board has {', '.join(map(str, facts.usable))}")
    return sorted({*asked})
