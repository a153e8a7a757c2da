"""The agent against Android's own C library, without an NDK: for runtimes that are built for it, such as those of AARs.

zig brings clang, lld and musl's headers; of bionic's libraries only the names of their functions are needed to link.
Never run: nothing here has a bionic. Its ELF file is checked by tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ofa.errors import InputError

HERE = Path(__file__).resolve().parent / "bionic"
LINKER = "/system/bin/linker64"
# Android 15 has phones with pages of 16 KiB
PAGE = 16384
# Compilers know that musl has these and make calls of them; bionic has them not
NOT_IN_BIONIC = ("bcmp", "stpcpy", "sincos")
COMPILE = ("-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror")
LINK = (
    "-pie", "--no-undefined", "--hash-style=both", "-z", "now", "-z", "relro", "-z", f"max-page-size={PAGE}", "-s",
    "-dynamic-linker", LINKER,
)  # fmt: skip


def symbols() -> dict[str, list[str]]:
    """{library: what the agent may use of it}."""
    found: dict[str, list[str]] = {}
    for line in (HERE / "symbols.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            library, _, names = line.partition(":")
            found.setdefault(library, []).extend(names.split())
    return found


def recipe() -> list[str]:
    """Everything beside the agent's sources that decides what is built."""
    return [path.read_text(encoding="utf-8") for path in sorted(HERE.iterdir())] + [*COMPILE, *NOT_IN_BIONIC, *LINK]


def compile_for_bionic(abi: str, sources: Iterable[Path], to: Path) -> None:
    """Compiles and links the agent; InputError where zig cannot, such as for a function that is not in symbols.txt."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        objects = [_compiled(abi, source, work) for source in [*sources, HERE / "start.c"]]
        stubs = [_stub(abi, library, names, work) for library, names in symbols().items()]
        _zig(["ld.lld", *LINK, "-o", str(to), *map(str, objects), *map(str, stubs)])


def _compiled(abi: str, source: Path, work: Path) -> Path:
    to = work / f"{source.stem}.o"
    flags = [*COMPILE, *(f"-fno-builtin-{name}" for name in NOT_IN_BIONIC)]
    header = [] if source.name == "start.c" else ["-include", str(HERE / "bionic.h")]
    _zig(["cc", "-target", f"{abi}-linux-musl", *flags, *header, "-c", str(source), "-o", str(to)])
    return to


def _stub(abi: str, library: str, names: Sequence[str], work: Path) -> Path:
    """A library that has the names and nothing behind them: the phone has the true one."""
    source, compiled, to = work / f"{library}.c", work / f"{library}.o", work / library
    # data is data: a program may not call it
    lines = [f"void *{name};" if name == "stderr" else f"void {name}(void) {{}}" for name in names]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    flags = ["-fPIC", "-ffreestanding", "-fno-builtin", "-w"]
    _zig(["cc", "-target", f"{abi}-linux-musl", *flags, "-c", str(source), "-o", str(compiled)])
    _zig(["ld.lld", "-shared", "-soname", library, "-o", str(to), str(compiled)])
    return to


def _zig(arguments: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *arguments], capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode != 0:
        raise InputError(f"zig cannot build the agent for Android's C library: {done.stderr.strip()[:2000]}")
