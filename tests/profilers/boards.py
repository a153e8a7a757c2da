"""A real sshd on loopback, in a user namespace of its own, started by whoever runs this; agents and models for it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agents.android import bundle
from profilers.devices.board.board_target import AgentOnBoard
from profilers.devices.board.ssh import Board

# an older key exchange: the one that withstands quantum computers took half of these tests' CPU seconds
CONFIG = """
Host board
    User me
Host small
    User small
Host *
    HostName 127.0.0.1
    Port {port}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    KexAlgorithms curve25519-sha256
"""

SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
"""

# sshd as a user without rights: as root it wants a user of its own. The home of `small` is a disk of $3 bytes. $1:
# the folder, $2: sshd
START = (
    'mount --bind "$1/passwd" /etc/passwd && mount -t tmpfs -o "size=$3,mode=0777" tmpfs "$1/small" && '
    'exec unshare -U --map-user=1000 --map-group=1000 "$2" -D -e -r -f "$1/sshd_config"'
)


@dataclass
class Sshd:
    """home: where those who log in begin; config: how ssh finds it as `board`; pid: of the server"""

    home: Path
    config: Path
    pid: int

    def connections(self) -> list[int]:
        """The processes that serve those who are logged in: two a connection, and what they run."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found[1:]


def sshd_program(folder: Path) -> tuple[str, dict[str, str]]:
    """sshd and the environment it needs: installed, or of Debian's packages; skips the test where there is neither."""
    if installed := shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return installed, {}
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("there is no sshd here, and no apt-get to fetch it")
    got = subprocess.run(["apt-get", "download", "openssh-server", "libwrap0"], cwd=folder, capture_output=True)
    if got.returncode:
        pytest.skip("there is no sshd here, and apt-get cannot fetch it: apt-get install openssh-server")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    libraries = {str(path.parent) for path in (folder / "root").rglob("lib*.so*")}
    return str(folder / "root/usr/sbin/sshd"), {"LD_LIBRARY_PATH": ":".join(libraries)}


def manifest(visits: list[str], seconds: float) -> dict:
    rules = {
        "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 1, "max_runs": 10**9, "max_seconds": seconds,
        "target_error": 0, "min_sample_us": 50,
    }  # fmt: skip
    named = [{"id": name, "path": f"{name}.tflite"} for name in set(visits)]
    cpus = [max(os.sched_getaffinity(0))]
    return {
        "protocol": 1, "runtime": "tflite", "threads": 1, "cpus": cpus, "seed": 0, "rules": rules, "models": named,
        "visits": visits,
    }  # fmt: skip


def agent_on(board: Board, say: Callable[[str], object] = lambda _: None) -> AgentOnBoard:
    made = bundle.make("x86_64")
    files = {name: made.folder / name for name in made.files}
    return AgentOnBoard(board, files, made.start_command, 60, say)


def inodes(home: Path) -> dict[str, int]:
    """Every file of ours on the board but manifests, which are new for every agent."""
    files = (path for path in (home / ".cache").rglob("*") if path.name != "manifest.json" and path.is_file())
    return {str(path.relative_to(home)): path.stat().st_ino for path in files}
