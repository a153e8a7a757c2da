"""Jobs on a host: begun, looked at, stopped. Ray is not needed: `actor.py` passes calls on, tests call them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ofa.errors import InputError
from ofa.runs import system
from ofa.runs.files import sha256
from profilers.lab.devices import Device
from profilers.lab.host.cores import Cores, in_words, must_wait, share_out
from profilers.lab.host.leash import START, is_held
from profilers.lab.logs import progress_at
from profilers.lab.orders import (
    GROWING,
    LOG,
    PIECE_BYTES,
    Begun,
    FilePiece,
    Look,
    Order,
    files_in,
    safe_name,
    write_whole,
)
from profilers.profiling.console import Progressed

_KEPT_S = 14 * 86_400  # a job's folder, after which nobody asks for it any more


@dataclass
class Running:
    """A job that runs, or has ended and is not yet fetched."""

    order: Order
    folder: Path
    cores: Cores
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.time)

    def let_go(self) -> None:
        """The other end of the leash: the command is asked to end."""
        assert self.process.stdin is not None
        self.process.stdin.close()


@dataclass(frozen=True)
class Doing:
    """What a device does now, for `status`. began: seconds since 1970"""

    device: str
    job: str
    by: str
    began: float
    progress: Progressed | None


class HostJobs:
    """The jobs of one host. Calls may come from several threads."""

    def __init__(self, folder: Path, timed: int = 1, usable: Sequence[int] | None = None) -> None:
        """folder: where jobs work, each in a folder of its own; timed: CPUs on which this host's CPU is timed"""
        self._folder, self._timed = folder, timed
        self._usable = system.usable_cpus() if usable is None else list(usable)
        self._devices: dict[str, Device] = {}
        self._cores: dict[str, Cores] = {}
        self._jobs: dict[str, Running] = {}
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)

    def attach(self, devices: Sequence[Device]) -> None:
        """What is attached now. A job of a device that went away goes on until it notices."""
        with self._lock:
            self._devices = {device.id: device for device in devices}
            self._cores = share_out(devices, self._usable, self._timed)

    @property
    def devices(self) -> tuple[Device, ...]:
        with self._lock:
            return tuple(self._devices.values())

    @property
    def cores(self) -> str:
        """Which CPUs are timed, in words."""
        with self._lock:
            return in_words(self._cores)

    def begin(self, order: Order, files: Mapping[str, bytes]) -> Begun:
        """Starts a job, or tells why not. files: what it needs, and what the run holds of an earlier attempt.

        A job that runs here already, begun by a run that was killed, is left alone: it counts as begun.
        """
        with self._lock:
            job = self._jobs.get(order.key)
            if job is not None and job.process.poll() is None:
                return Begun()
            device = self._devices.get(order.device)
            if device is None or device.trouble:
                return Begun(waits=device.trouble if device else "it is not attached")
            if refused := self._too_many(order):
                return Begun(refused=refused)
            cores = self._cores[order.device]
            for other in self._jobs.values():
                if other.process.poll() is not None:
                    continue
                if other.order.device == order.device:
                    return Begun(f"in use by {other.order.by}, for {other.order.job}", by_run=other.order.run)
                if must_wait(cores, other.cores):
                    words = f"its turn: {other.order.job} of {other.order.by} times a CPU that it would use"
                    return Begun(words, by_run=other.order.run)
            folder = self._folder / order.key
            if is_held(folder):
                return Begun("its last attempt, which was cut off, has not ended yet", by_run=order.run)
            try:
                _prepare(folder, files)
                process = _started(order, folder, cores)
            except OSError as error:
                return Begun(refused=f"{error.strerror or error}: {error.filename or folder}")
            self._jobs[order.key] = Running(order, folder, cores, process)
            return Begun()

    def _too_many(self, order: Order) -> str:
        device, cores = self._devices[order.device], self._cores[order.device]
        if device.kind != "cpu" or not cores.timed:
            return ""
        timed = ",".join(map(str, sorted(cores.timed)))
        if order.threads > len(cores.timed):
            kept = "one CPU is" if len(cores.timed) == 1 else f"{len(cores.timed)} CPUs are"
            return (
                f"--threads is {order.threads}, and {kept} kept for timing: announce this host "
                f"with --timed-cpus {order.threads}"
            )
        if outside := [cpu for cpu in order.cpus if cpu not in cores.timed]:
            return f"--cpu names CPU {outside[0]}, and CPU {timed} is kept for timing: see announce's --timed-cpus"
        return ""

    def look(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, Look]:
        """{job's key: how it is, and what is new in its files}. wanted: {key: {file: the mark of what is there}}"""
        with self._lock:
            jobs = {key: self._jobs.get(key) for key in wanted}
        return {key: Look("unknown") if job is None else _look(job, wanted[key]) for key, job in jobs.items()}

    def doing(self) -> list[Doing]:
        """What runs now."""
        with self._lock:
            running = [job for job in self._jobs.values() if job.process.poll() is None]
        return [
            Doing(job.order.device, job.order.job, job.order.by, job.began, progress_at(job.folder / LOG))
            for job in running
        ]

    def stop(self, keys: Sequence[str]) -> None:
        """Asks jobs to end in order; what they measured stays."""
        with self._lock:
            for key in keys:
                if (job := self._jobs.get(key)) is not None:
                    job.let_go()

    def forget(self, keys: Sequence[str]) -> None:
        """Removes ended jobs and their folders: all of it has been fetched."""
        with self._lock:
            for key in keys:
                job = self._jobs.get(key)
                if job is not None and job.process.poll() is not None:
                    job.let_go()
                    del self._jobs[key]
                    shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Ends all jobs, and waits for that."""
        with self._lock:
            self.stop([*self._jobs])
            for job in self._jobs.values():
                job.process.wait()


def _sweep(folder: Path) -> None:
    """Removes the folders of jobs that nobody has fetched for long."""
    for left in folder.iterdir():
        if left.is_dir() and time.time() - left.stat().st_mtime > _KEPT_S:
            shutil.rmtree(left, ignore_errors=True)


def _prepare(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts the run's files into a job's folder. A journal there that goes on from the run's is kept: it knows more."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if not safe_name(name):
            raise InputError(f"{name!r} is no name for a file of a job")
        path = folder / name
        if path.is_file() and path.suffix in GROWING and path.read_bytes().startswith(content):
            continue
        write_whole(path, content)


def _started(order: Order, folder: Path, cores: Cores) -> subprocess.Popen[bytes]:
    cpus = ",".join(map(str, sorted(cores.allowed))) or "-"
    leash = [*START, cpus, LOG, sys.executable, "-m", *order.words]
    return subprocess.Popen(
        leash,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},  # in which nvidia-smi counts, and so the lab
        **system.group_of_its_own(),
    )


def _look(job: Running, marks: Mapping[str, str]) -> Look:
    code = job.process.poll()  # before the files: what is written later is looked at again
    pieces: list[FilePiece] = []
    room = PIECE_BYTES
    more = False
    files = files_in(job.folder)
    for name, path in files.items():
        if room <= 0:
            more = True
            break
        try:
            piece, rest = _piece(name, path, marks.get(name, ""), room)
        except FileNotFoundError:  # replaced or removed meanwhile
            continue
        if piece is not None:
            pieces.append(piece)
            room -= len(piece.data)
        more = more or rest
    if code is None:
        return Look("runs", tuple(pieces), more=more)
    sums = {} if more else {name: sha256(path) for name, path in files.items()}
    return Look("ended", tuple(pieces), code, more, sums)


def _piece(name: str, path: Path, mark: str, room: int) -> tuple[FilePiece | None, bool]:
    """What is new in a file, if anything, and whether there is more. mark: as `FilePiece` had it last; "" for all"""
    facts = path.stat()
    if path.suffix not in GROWING:
        now = f"{facts.st_mtime_ns}-{facts.st_size}-{facts.st_ino}"
        return (None if mark == now else FilePiece(name, 0, path.read_bytes(), now, whole=True)), False
    start = int(mark) if mark.isdecimal() and int(mark) <= facts.st_size else 0
    if mark and start == facts.st_size:
        return None, False
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(room)
    return FilePiece(name, start, data, str(start + len(data))), start + len(data) < facts.st_size
