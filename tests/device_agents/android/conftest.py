"""The phone agent, built for this machine: with the real runtime, and with a fake one under the sanitizers."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

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
