"""A board as a target: its CPUs, and the agents that are started there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError
from profilers.devices.batches import TAR_RECORD, Batch, batches_of, largest_model
from profilers.devices.board.ssh import Board, Facts, no_space
from profilers.devices.cores import Cluster, fastest, kinds_of_cores, of_cluster
from profilers.devices.delegates import Dtype, asked_dtype, check_computed, dtype_of, model_dtype
from profilers.devices.identity import DEVICE_ID, device_id
from profilers.devices.sent_files import SentFolder, sent_folder
from profilers.measuring.events import Done, Event
from profilers.measuring.target import Target

if TYPE_CHECKING:
    from device_agents.android.agent_options import AgentOptions
    from device_agents.android.bundle import Bundle
    from profilers.devices.core_options import ClusterOptions


@contextmanager
def open_board(
    host: str,
    ssh_config: Path | None,
    own: AgentOptions,
    cores: ClusterOptions,
    *,
    batch: int,
    delegate: str,
    dtype: Dtype,
    timeout_s: float,
    say: Callable[[str], None],
    keep_models: bool = False,
    in_place: bool = False,
) -> Iterator[Target]:
    """The board of a host, with an agent for its machine; InputError if it is not to be had.

    own: the user's build of the agent; cores: asked for there; say: told what is sent there
    """
    from device_agents.android import bundle

    board = Board(host, ssh_config)
    facts = board.facts()
    cpus = chosen_cpus(facts, cores.cpu, cores.threads, cores.cores)
    agent = bundle.make(
        facts.machine,
        agent_bin=own.agent_bin,
        agent_lib=own.agent_lib,
        agent_aar=own.agent_aar,
        libc=own.libc,
        tell=say,
    )
    with board_target(
        board,
        agent,
        batch=batch,
        delegate=delegate,
        dtype=dtype,
        threads=cores.threads_on(cpus),
        cpus=cpus,
        timeout_s=timeout_s,
        say=say,
        cluster=cores.cores,
        keep_models=keep_models,
        in_place=in_place,
        identity=facts.identity,
    ) as target:
        yield target


@contextmanager
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
    keep_models: bool = True,
    in_place: bool = False,
    identity: str = "",
) -> Iterator[Target]:
    """One board; models that are not to be kept there are gone in the end.

    agent: built for its machine; cpus: of `chosen_cpus`; cluster: as they were asked for
    in_place: whether blocks are timed in networks, where they stand; identity: as its facts tell
    """
    files = {name: agent.folder / name for name in agent.files}
    there = AgentOnBoard(board, files, agent.start_command, timeout_s, say, keep_models)
    try:
        yield Target(
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
            start=there.start,
            header={
                "agent": "linux",
                "threads": str(threads),
                "dtype": dtype_of(delegate, dtype),
                "delegate": delegate,
                **({"cores": cluster} if cluster else {}),
                **({DEVICE_ID: device_id("board", identity)} if identity else {}),
            },
            in_place=in_place,
            dtype=model_dtype(dtype),
        )
    finally:
        try:
            there.remove_models()
        except InputError as gone:  # what was measured counts more
            say(f"models stay on {board.host}, which cannot be reached any more ({gone})")


class AgentOnBoard:
    """Sends agent and models, and starts agents: `start` of profilers.measuring.target.Target."""

    def __init__(
        self,
        board: Board,
        files: Mapping[str, Path],
        command: Sequence[str],
        timeout_s: float,
        say: Callable[[str], object],
        keep_models: bool = True,
    ) -> None:
        """keep_models: whether models stay there, since another run may ask for the same"""
        self._board, self._command = board, command
        self._agent = sent_folder("agent", files)
        self._timeout_s, self._say, self._keep_models = timeout_s, say, keep_models
        self._agent_there = False
        self._all: tuple[list[Path], SentFolder] | None = None
        self._there: dict[str, bool] = {}  # folders of models that were sent, and whether they stay

    @property
    def folder(self) -> str:
        """The name of the agent's folder on the board."""
        return self._agent.name

    def start(self, folder: Path, manifest: Mapping[str, Any]) -> Iterator[Event]:
        """An agent's events. A further measurement's models lie in another folder, and are sent too.

        Models that do not fit on the board together are sent in batches, each of which goes before the next comes.
        InputError where one alone does not fit.
        """
        self.send_agent()
        batches = self._batches(folder, manifest)
        for number, batch in enumerate(batches):
            # one batch alone may be less than all: few visits are left of models that do not fit together
            whole = batch.manifest is manifest
            models = self._all_models(folder) if whole else sent_folder("models", {n: folder / n for n in batch.files})
            self._send(models, keep=self._keep_models and whole)
            for event in self._converse(models, batch):
                if isinstance(event, Done) and number + 1 < len(batches):
                    break
                yield batch.renumbered(event)
            if not whole:
                self.remove_models()

    def send_agent(self) -> None:
        """Sees to it that the board has the agent."""
        if not self._agent_there:
            self._say(f"sending agent and models to {self._board.host}, if it lacks them")
            self._board.ensure(self._agent)
            self._agent_there = True

    def remove_models(self) -> None:
        """Removes the models that are not to stay. InputError if the board is not to be had."""
        for name in [name for name, stays in self._there.items() if not stays]:
            self._board.remove(name)
            del self._there[name]

    def _all_models(self, folder: Path) -> SentFolder:
        # networks in parts that fail are cut anew, so that files come into a folder meanwhile
        paths = sorted(folder.glob("*.tflite"))
        if self._all is None or self._all[0] != paths:
            if self._all is not None and self._all[1].name in self._there:
                self._there[self._all[1].name] = False
            self._all = paths, sent_folder("models", {path.name: path for path in paths})
        return self._all[1]

    def _batches(self, folder: Path, manifest: Mapping[str, Any]) -> list[Batch]:
        """The visits, in as many batches as the board's free space needs."""
        whole, models = Batch(0, manifest), self._all_models(folder)
        if models.name in self._there or self._board.holds(models):
            return [whole]
        self.remove_models()  # of a measurement before this one
        sizes = {name: path.stat().st_size for name, path in models.files.items()}
        needed = sum(sizes.values()) + TAR_RECORD * (len(sizes) + 3)
        if needed <= self._board.room():
            return [whole]
        self._board.remove_kind("models")  # of earlier runs
        room = self._board.room()
        if needed <= room:
            return [whole]
        largest = largest_model(manifest, sizes)
        if largest > room:
            raise no_space(self._board.host, largest, room)
        batches = batches_of(manifest, sizes, room - 3 * TAR_RECORD)
        self._say(f"the models do not fit on {self._board.host} together: they go there in {len(batches)} batches")
        return batches

    def _send(self, models: SentFolder, *, keep: bool) -> None:
        if models.name not in self._there:
            self._board.ensure(models)
            self._there[models.name] = keep

    def _converse(self, models: SentFolder, batch: Batch) -> Iterator[Event]:
        events = self._board.agent(self._agent.name, models.name, self._command, batch.manifest, self._timeout_s)
        for event in events:
            check_computed(event, batch.manifest)
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
