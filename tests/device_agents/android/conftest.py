"""The phone agent, built for this machine: with the real runtime, and with a fake one under the sanitizers."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.android import bundle
from ofa.blocks import Block
from ofa.graph import block_graph
from ofa.graph.tflite import write_tflite

HERE = Path(__file__).resolve().parent
BLOCK = Block("mbconv", 7, 8, 24, 8, 3, 1, "relu", False, True)
RULES = {
    "warmup_runs": 2, "warmup_seconds": 0, "min_runs": 5, "max_runs": 9, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 50,
}  # fmt: skip


@pytest.fixture(scope="session")
def native() -> bundle.Bundle:
    """The bundle of this machine, from the user's cache; made if it is not there, for which pip needs its index."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip(f"the native agent is tested on x86-64 Linux, this is {platform.system()} {platform.machine()}")
    return bundle.make("x86_64")


@pytest.fixture
def real(native: bundle.Bundle, tmp_path: Path) -> Path:
    """A folder with the agent, the real runtime, and models a and b."""
    for name in native.files:
        (tmp_path / name).symlink_to(native.folder / name)
    for name in ("a", "b"):
        (tmp_path / f"{name}.tflite").write_bytes(write_tflite(block_graph(BLOCK)))
    return tmp_path


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the agent and the fake runtime, both under gcc's address and undefined-behaviour sanitizers."""
    gcc = shutil.which("gcc")
    if gcc is None or platform.system() != "Linux":
        pytest.skip("the sanitizers need gcc on Linux")
    folder = tmp_path_factory.mktemp("sanitized")
    flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-g",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    sources = sorted(map(str, bundle.SOURCES.glob("*.c")))
    subprocess.run([gcc, *flags, *sources, "-o", folder / "agent", *bundle.LIBRARIES], check=True)
    fake = [*flags, "-D_GNU_SOURCE", "-shared", "-fPIC", HERE / "fake_litert.c", "-o", folder / "libLiteRt.so"]
    subprocess.run([gcc, *fake], check=True)
    return folder


@pytest.fixture
def fake(sanitized: Path, tmp_path: Path) -> Path:
    """A folder with the agent and the fake runtime, and models a and b that take 100 microseconds."""
    for path in sanitized.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in ("a", "b"):
        write_fake(tmp_path, name, "spin 100")
    return tmp_path


@pytest.fixture(scope="session")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """`linked(agent, "-Wl,--wrap=f", source)`: the agent with some of its functions in another's place, for the fake
    runtime; the agent's own sources are compiled once.
    """
    gcc = shutil.which("gcc")
    if gcc is None or platform.system() != "Linux":
        pytest.skip("the sanitizers need gcc on Linux")
    folder, flags = tmp_path_factory.mktemp("objects"), ["-std=c11", "-O1", "-I", bundle.SOURCES]
    subprocess.run([gcc, *flags, "-c", *bundle.SOURCES.glob("*.c")], cwd=folder, check=True)

    def link(agent: Path, wrapped: str, source: Path) -> None:
        given = [*flags, wrapped, "-rdynamic", *folder.glob("*.o"), source, "-o", agent, "-lasan", *bundle.LIBRARIES]
        subprocess.run([gcc, *given], check=True)

    return link


@pytest.fixture(scope="session")
def planted_clock(linked: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent by a planted clock, which passes as long as the fake runtime's models spin."""
    agent = tmp_path_factory.mktemp("clocked") / "agent"
    linked(agent, "-Wl,--wrap=clock_gettime,--wrap=clock_nanosleep", HERE / "planted_clock.c")
    return agent


@pytest.fixture
def clocked(planted_clock: Path, fake: Path) -> Path:
    """The folder of the fake runtime, whose agent goes by a planted clock: no machine is too slow for it."""
    (fake / "agent").unlink()
    (fake / "agent").symlink_to(planted_clock)
    return fake


def write_fake(folder: Path, name: str, words: str) -> None:
    (folder / f"{name}.tflite").write_bytes(b"\0\0\0\0TFL3" + words.encode())


def manifest_with(**changes: object) -> dict:
    return {
        "protocol": 1, "runtime": "tflite", "threads": 1, "cpus": [max(os.sched_getaffinity(0))], "seed": 0,
        "rules": RULES, "visits": ["a", "b", "a"], "something_newer": 1,
        "models": [{"id": "a", "path": "a.tflite"}, {"id": "b", "path": "b.tflite"}], **changes,
    }  # fmt: skip


def run_agent(folder: Path, content: bytes) -> subprocess.CompletedProcess[bytes]:
    (folder / "manifest.json").write_bytes(content)
    return subprocess.run(["./agent", "manifest.json"], cwd=folder, capture_output=True)


def heard(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    """What an agent said, without heartbeats; any line that is no JSON fails the test."""
    events = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.decode().split("\n") if line]
    return [event for event in events if event["type"] != "heartbeat"]


@pytest.fixture
def talk() -> Callable[..., list[dict]]:
    """Runs the agent of a folder on a manifest with changes: what it said."""

    def talk(folder: Path, code: int = 0, **changes: object) -> list[dict]:
        done = run_agent(folder, json.dumps(manifest_with(**changes)).encode())
        assert done.returncode == code, done.stderr.decode(errors="replace")
        return heard(done)

    return talk


@pytest.fixture
def talk_raw() -> Callable[[Path, bytes], tuple[int, list[dict], str]]:
    """Runs the agent of a folder on any bytes: its exit code, what it said, what it wrote to stderr."""

    def talk_raw(folder: Path, content: bytes) -> tuple[int, list[dict], str]:
        done = run_agent(folder, content)
        return done.returncode, heard(done), done.stderr.decode(errors="replace")

    return talk_raw


@pytest.fixture(name="manifest_with")
def manifest_fixture() -> Callable[..., dict]:
    return manifest_with


@pytest.fixture(name="write_fake")
def write_fake_fixture() -> Callable[[Path, str, str], None]:
    return write_fake


class FakeSystem:
    """A /sys and a PATH of the test's own for an agent, in a mount namespace of its own."""

    def __init__(self, agent: Path) -> None:
        self.agent = agent
        self.sys, self.programs = agent / "fake-sys", agent / "fake-bin"
        (self.sys / "class/thermal").mkdir(parents=True)
        (self.sys / "devices/system/cpu").mkdir(parents=True)
        self.programs.mkdir()

    def zone(self, kind: str, shown: int) -> Path:
        """A further thermal zone; its file."""
        zone = self.sys / f"class/thermal/thermal_zone{len(list((self.sys / 'class/thermal').iterdir()))}"
        zone.mkdir()
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{shown:<8d}\n")
        return zone / "temp"

    def clock(self, cpu: int, file: str, khz: int) -> Path:
        """A file of a CPU's cpufreq."""
        path = self.sys / f"devices/system/cpu/cpu{cpu}/cpufreq/{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{khz}\n")
        return path

    def program(self, name: str, script: str) -> None:
        """A stand-in of one of Android's programs."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def heard(self, **changes: Any) -> list[dict]:
        """What the agent says, without heartbeats."""
        (self.agent / "manifest.json").write_text(json.dumps(manifest_with(**changes)))
        script = 'mount --bind "$1" /sys && PATH="$2:$PATH" exec ./agent manifest.json'
        private = ["unshare", "-U", "-r", "-m", "sh", "-c", script, "sh", str(self.sys), str(self.programs)]
        every_core = range(os.cpu_count() or 1)
        done = subprocess.run(
            private, cwd=self.agent, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, every_core)
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event for event in events if event["type"] != "heartbeat"]


@pytest.fixture
def system(fake: Path) -> FakeSystem:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("a private mount namespace is not to be had here")
    return FakeSystem(fake)
