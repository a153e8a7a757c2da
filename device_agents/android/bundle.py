"""`python -m device_agents.android.bundle`: everything a phone needs to run the agent, in one folder.

The agent is compiled from src/ by `zig cc`; the runtime comes from a pinned wheel of ai-edge-litert; for aarch64 the
loader and the C libraries, which Android does not have, come from pinned packages of Debian. Every download is checked
against its hash and kept in the cache: a second time nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from device_agents.android import bionic_agent
from device_agents.android.agent_options import AgentOptions
from device_agents.android.downloads import cached, deb_members, debian_package, wheel
from device_agents.android.own_runtime import LIBRARY_NAMES, OwnRuntime, own_runtime
from ofa.cli.command import Command
from ofa.cli.config import Option, Output
from ofa.errors import InputError
from ofa.runs.files import sha256, write_json

ABIS = ("aarch64", "x86_64")
BACKENDS = ("litert", "tflite")
SOURCES = Path(__file__).resolve().parent / "src"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-s")
LIBRARIES = ("-ldl", "-lm", "-lpthread")
LOADER = "ld-linux-aarch64.so.1"

# (ABI, backend): (version of ai-edge-litert, tag of its wheel, the wheel's sha256, the library in it).
# 1.4.0's library for x86-64 hides the classic C API
WHEELS = {
    ("aarch64", "litert"): (
        "2.3.0",
        "manylinux_2_27_aarch64",
        "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
        "ai_edge_litert/libLiteRt.so",
    ),
    ("x86_64", "litert"): (
        "2.3.0",
        "manylinux_2_27_x86_64",
        "1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23",
        "ai_edge_litert/libLiteRt.so",
    ),
    ("aarch64", "tflite"): (
        "1.4.0",
        "manylinux_2_17_aarch64",
        "131d1c12dedc0c45aa683106d71ea895117c2332b0efb52712965f8b5e63781d",
        "ai_edge_litert/libLiteRtRuntimeCApi.so",
    ),
}
# Debian 12's cross-compilation packages: the same files as on an arm64 Debian. Path, sha256, what is taken of it
PACKAGES = (
    (
        "pool/main/c/cross-toolchain-base/libc6-arm64-cross_2.36-8cross1_all.deb",
        "91936cbbee75771c360ed16513f6e734a25ca5517fe7c3e13dfd7835d7553186",
        (LOADER, "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
    ),
    (
        "pool/main/g/gcc-12-cross/libgcc-s1-arm64-cross_12.2.0-14cross1_all.deb",
        "af1e686fc6a416228222e7bfb68317dd2fa2685236301ae29141fc6108a66cac",
        ("libgcc_s.so.1",),
    ),
    (
        "pool/main/g/gcc-12-cross/libstdc++6-arm64-cross_12.2.0-14cross1_all.deb",
        "9cba984b64d0cf11698978fc5e0fe93c7441d29b9f42f70f1c6c734cc9e2ea41",
        ("libstdc++.so.6",),
    ),
)
MIRROR = "https://deb.debian.org/debian"


@dataclass(frozen=True)
class Bundle:
    """A folder to copy to a device whole.

    files: {name in the folder: its sha256}; bundle.json among them, which tells the agent its runtime's version
    start_command: argv, in the folder, to which the manifest's path is added
    sha256: of names and contents; another bundle has another
    backend: the C API of its library, for the manifest's `backend`
    runtime: name and version
    manifest_fields: what else the manifest is to say, of libraries that the user brings
    """

    folder: Path
    files: Mapping[str, str]
    start_command: tuple[str, ...]
    sha256: str
    abi: str
    backend: str
    runtime: str
    manifest_fields: Mapping[str, str] = field(default_factory=dict)


def default_cache() -> Path:
    """$XDG_CACHE_HOME/ofa-latency, by default ~/.cache/ofa-latency."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ofa-latency"


def make(
    abi: str,
    *,
    backend: str = "litert",
    agent_bin: Path | None = None,
    agent_lib: Sequence[Path] = (),
    agent_aar: Path | None = None,
    libc: str = "glibc",
    cache: Path | None = None,
    mirror: str = MIRROR,
    tell: Callable[[str], object] = lambda _: None,
) -> Bundle:
    """The bundle of an ABI, from the cache or made now.

    agent_bin: the user's own build of the agent (then nothing is compiled, and no loader is added: it is expected to
    run on the device as it is); agent_lib, agent_aar: of the runtime (its C API is seen from its symbols)
    libc: what the agent is compiled against: glibc, or bionic, for which the user brings a runtime of that
    tell: is given a line about each thing that is done. Raises InputError for what cannot be had.
    """
    if abi not in ABIS:
        raise InputError(f"there is no agent for {abi}: expected one of {', '.join(ABIS)}")
    cache = cache or default_cache()
    own = own_runtime(agent_lib, agent_aar, abi, cache)
    if own is not None:
        backend = own.backend
    elif backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if own is None and libc == "bionic":
        raise InputError("--libc bionic: no runtime is made for it here, give yours by --agent-aar or --agent-lib")
    if own is None and (abi, backend) not in WHEELS:
        raise InputError(f"no wheel has the {backend} C API for {abi}: give your own build with --agent-lib")
    if agent_bin is not None and not agent_bin.is_file():
        raise InputError(f"there is no agent {agent_bin}")
    key = _key(abi, backend, agent_bin, own, libc)
    folder = cache / "bundles" / f"{abi}-{backend}-{key[:16]}"
    kept = _kept(folder)
    if kept is not None:
        tell(f"{folder}: already made")
        return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        _fill(made, abi, backend, agent_bin, own, libc, cache, mirror, tell)
        try:
            made.rename(folder)
        except OSError:
            if _kept(folder) is None:  # else another process was as quick
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    bundle = _kept(folder)
    assert bundle is not None
    tell(f"{folder}: made")
    return bundle


def _key(abi: str, backend: str, agent_bin: Path | None, own: OwnRuntime | None, libc: str) -> str:
    """Of everything that decides the bundle's content."""
    sources = {path.name: sha256(path) for path in sorted(SOURCES.iterdir())}
    inputs = [
        sources if agent_bin is None else sha256(agent_bin),
        WHEELS[abi, backend] if own is None else {name: sha256(path) for name, path in own.files.items()},
        PACKAGES,
        FLAGS,
        LIBRARIES,
        *(bionic_agent.recipe() if libc == "bionic" else ()),
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _kept(folder: Path) -> Bundle | None:
    """The bundle in a folder; None if it is not there, or not as it was made."""
    try:
        about = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        files = dict(about["files"])
        if any(sha256(folder / name) != digest for name, digest in files.items()):
            return None
        files["bundle.json"] = sha256(folder / "bundle.json")
        whole = hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()
        return Bundle(
            folder, files, tuple(about["start_command"]), whole, about["abi"], about["backend"], about["runtime"],
            about.get("manifest_fields", {}),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fill(
    folder: Path,
    abi: str,
    backend: str,
    agent_bin: Path | None,
    own: OwnRuntime | None,
    libc: str,
    cache: Path,
    mirror: str,
    tell: Callable[[str], object],
) -> None:
    agent = folder / "agent"
    if agent_bin is not None:
        shutil.copyfile(agent_bin, agent)
    else:
        tell(f"compiling the agent for {abi}")
        compile_agent(abi, agent, libc=libc)
    if own is not None:
        for name, path in own.files.items():
            shutil.copyfile(path, folder / name)
        runtime = f"{own.main.name} (sha256 {sha256(own.main)[:12]})"
    else:
        version, tag, digest, member = WHEELS[abi, backend]
        runtime = f"ai-edge-litert {version}"
        path = cached(cache, digest, "runtime.whl", lambda to: wheel("ai-edge-litert", version, tag, digest, to), tell)
        with zipfile.ZipFile(path) as archive:
            (folder / LIBRARY_NAMES[backend]).write_bytes(archive.read(member))
    # libraries that need one another look for each other where the linker is told to
    start = ["env", "LD_LIBRARY_PATH=.", "./agent"] if own is not None and own.others else ["./agent"]
    if abi == "aarch64" and agent_bin is None and libc == "glibc":
        start = [f"./{LOADER}", "--library-path", ".", "./agent"]
        for place, digest, members in PACKAGES:
            url = f"{mirror.rstrip('/')}/{place}"
            path = cached(cache, digest, Path(place).name, lambda to, url=url: debian_package(url, to), tell)  # type: ignore[misc]
            for name, content in deb_members(path, members).items():
                (folder / name).write_bytes(content)
    for path in folder.iterdir():
        path.chmod(0o755)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    write_json(
        folder / "bundle.json",
        {
            "abi": abi,
            "backend": backend,
            "runtime": runtime,
            "start_command": start,
            "manifest_fields": own.manifest_fields() if own is not None else {},
            "files": files,
        },
    )


def compile_agent(abi: str, to: Path, flags: Sequence[str] = FLAGS, libc: str = "glibc") -> None:
    """Compiles src/ with zig, which brings every target's C library but bionic; InputError if it is not installed."""
    from importlib.util import find_spec

    if find_spec("ziglang") is None:
        raise InputError(
            "the agent is compiled by zig: pip install 'ofa-latency[android]', or give your own --agent-bin"
        )
    if libc == "bionic":
        bionic_agent.compile_for_bionic(abi, sorted(SOURCES.glob("*.c")), to)
        return
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    # glibc 2.17: the oldest that the runtimes' wheels are made for
    target = ["-target", f"{abi}-linux-gnu.2.17"]
    command = [sys.executable, "-m", "ziglang", "cc", *target, *flags, *sources, "-o", str(to), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        raise InputError(f"zig cannot compile the agent: {done.stderr.strip()[:2000]}")


@dataclass(frozen=True, kw_only=True)
class BundleConfig(AgentOptions):
    """Make the folder that a phone or board needs to run the agent: agent, runtime, C libraries."""

    out: Annotated[Path | None, Output(folder=True), Option(metavar="DIR")] = None
    """folder to copy the bundle to (default: it stays in the cache)"""

    abi: Annotated[str, Option(metavar="A")] = "aarch64"
    """architecture of the device: aarch64 or x86_64"""

    backend: Annotated[str, Option(metavar="B")] = "litert"
    """C API of the runtime: litert (ai-edge-litert 2.3.0) or tflite (1.4.0)"""

    mirror: Annotated[str, Option(metavar="URL")] = MIRROR
    """server of Debian's packages"""


COMMAND = Command("device_agents.android.bundle", BundleConfig, "--abi aarch64 --out bundle")


def main(argv: Sequence[str] | None = None) -> int:
    bundle, folder = copied_bundle(COMMAND.parse(argv), lambda text: print(text, flush=True))
    size = sum((bundle.folder / name).stat().st_size for name in bundle.files)
    print(f"{folder}: {len(bundle.files)} files, {size / 1e6:.1f} MB, {bundle.runtime}, sha256 {bundle.sha256}")
    print(f"start it there with: {' '.join(bundle.start_command)} manifest.json")
    return 0


def copied_bundle(config: BundleConfig, tell: Callable[[str], object]) -> tuple[Bundle, Path]:
    """The bundle, and the folder it is in: `out`, or the cache's. tell: as of `make`"""
    out = config.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} exists and is not an empty folder")
    bundle = make(
        config.abi,
        backend=config.backend,
        agent_bin=config.agent_bin,
        agent_lib=config.agent_lib,
        agent_aar=config.agent_aar,
        libc=config.libc,
        mirror=config.mirror,
        tell=tell,
    )
    if out is None:
        return bundle, bundle.folder
    shutil.copytree(bundle.folder, out, dirs_exist_ok=True)
    return bundle, out


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
