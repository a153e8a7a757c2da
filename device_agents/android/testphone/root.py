"""Builds the test phone's root folder: Debian's adbd, with Android's kind of shell around it.

The packages come from Debian trixie by apt, into a folder of their own, with their signatures checked; nothing is
installed on this machine. What a phone's programs run on is not there: no aarch64 C library, and of the commands only
what Android has (mksh and toybox, as on Android). Stand-ins of getprop, dumpsys and others come with the phone's state.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "ofa-latency" / "test-phone"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE, MIRROR = "trixie", "http://deb.debian.org/debian"
# adb: the client, the second judge of what the phone says; qemu-user runs aarch64 programs
PACKAGES = ("adbd", "adb", "mksh", "toybox", "qemu-user")
# what of toybox Android links into /system/bin, as far as it is of use here
TOYS = """
basename cat chmod chown cksum cmp cp cut date dd df dirname du echo env expr false file find getconf grep head id
ionice kill ln ls md5sum mkdir mktemp mv nice nohup nproc od paste pgrep pidof pkill printenv printf ps pwd readlink
realpath renice rm rmdir sed seq setsid sha1sum sha256sum sleep sort stat stty sync tail tar taskset tee test time
timeout touch tr true truncate uname uniq uptime wc which whoami xargs yes
"""
APT = """Dir "{folder}";
Dir::Etc "etc";
Dir::Etc::sourceparts "-";
Dir::State "state";
Dir::State::status "{folder}/status";
Dir::Cache "cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


class TestPhoneImpossible(Exception):
    """There can be no test phone on this machine; the message says why."""

    __test__ = False  # pytest would take it for a class of tests


def root_folder(cache: Path = CACHE) -> Path:
    """The root, built if it is not in the cache; beside it lie `qemu-aarch64` and `adb/`, the client.

    Raises TestPhoneImpossible.
    """
    recipe = hashlib.sha256()
    for part in (Path(__file__), HERE / "adbd_shim.c"):
        recipe.update(part.read_bytes())
    built = cache / recipe.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process builds, the others wait for it
        if not built.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as name:
                new = Path(name) / "built"
                _build(Path(name), new)
                new.rename(built)
    return built / "root"


def _build(work: Path, built: Path) -> None:
    root = built / "root"
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "system/bin", "data/local/tmp", "dev", "proc", "sys"):
        (root / folder).mkdir(parents=True)
    (root / "test-phone").mkdir()
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for archive in _packages(work):
        _run("dpkg-deb", "-x", str(archive), str(root))
    shutil.move(root / "usr/bin/qemu-aarch64", built / "qemu-aarch64")
    for other in (root / "usr/bin").glob("qemu-*"):
        other.unlink()
    for unused in ("usr/share", "usr/libexec"):
        shutil.rmtree(root / unused, ignore_errors=True)
    system = root / "system" / "bin"
    (system / "sh").symlink_to("/usr/bin/mksh")
    (root / "usr/bin/sh").symlink_to("/usr/bin/mksh")
    for toy in TOYS.split():
        (system / toy).symlink_to("/usr/bin/toybox")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise TestPhoneImpossible("the test phone needs a C compiler, for one file of 40 lines: apt-get install gcc")
    _run(compiler, "-shared", "-fPIC", "-O1", "-o", str(root / "usr/lib/adbd_shim.so"), str(HERE / "adbd_shim.c"))


def _packages(work: Path) -> list[Path]:
    """PACKAGES and all they need, downloaded and checked by apt."""
    if not KEYRING.is_file() or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise TestPhoneImpossible(f"the test phone is made of Debian's packages: it needs apt-get and {KEYRING}")
    apt = work / "apt"
    for folder in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    (apt / "apt.conf").write_text(APT.format(folder=apt))
    _run("apt-get", "-q", "update", APT_CONFIG=str(apt / "apt.conf"))
    _run("apt-get", "-q", "-y", "--download-only", "install", *PACKAGES, APT_CONFIG=str(apt / "apt.conf"))
    return sorted((apt / "cache/archives").glob("*.deb"))


def _run(*command: str, **environment: str) -> None:
    """TestPhoneImpossible if the command fails, with its last line."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise TestPhoneImpossible(f"building the test phone: {' '.join(command[:3])} failed: {words[-1]}")
