"""What Linux tells of a GPU and of this process, in files that other systems lack: then nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path


def told_name(proc: Path = Path("/proc")) -> str | None:
    """What the kernel calls the GPU: a Jetson's whole board, or a card, if all cards are alike."""
    with contextlib.suppress(OSError):
        board = (proc / "device-tree" / "model").read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        if board.startswith("NVIDIA"):
            return board
    names = set()
    for path in (proc / "driver" / "nvidia" / "gpus").glob("*/information"):
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            names |= {line.partition(":")[2].strip() for line in lines if line.startswith("Model:")}
    return names.pop() if len(names) == 1 else None


def loaded(library: str, proc: Path = Path("/proc")) -> list[str]:
    """Paths of the shared libraries in this process whose file names begin with `library` and .so."""
    try:
        lines = (proc / "self" / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return sorted({line.split(maxsplit=5)[5] for line in lines if f"/{library}.so" in line})
