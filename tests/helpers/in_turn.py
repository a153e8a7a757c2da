"""Commands one after the other in one process, each as `python -m` runs it: torchrun starts the process once for all.

usage, below torchrun: python -m tests.helpers.in_turn FILE, a JSON list of lists: a module and its words
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch.distributed as dist

_JOIN = dist.init_process_group


def _join_anew(number: int) -> Any:
    """Processes meet in torchrun's store: what they said there for one command is not for the next one's."""

    def joined(backend: str, **more: Any) -> None:
        address, port, count = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"))
        store = dist.PrefixStore(str(number), dist.TCPStore(address, int(port), int(count), is_master=False))
        _JOIN(backend, store=store, rank=int(os.environ["RANK"]), world_size=int(count), **more)

    return patch.object(dist, "init_process_group", joined)


def main(file: Path) -> None:
    """AssertionError, and so exit code 1, where a command ends with another code than 0, or leaves a group open."""
    for number, (module, *words) in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        sys.argv[1:] = words
        with _join_anew(number) if number else nullcontext():
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as left:
                assert not left.code, (module, left.code)
        assert not dist.is_initialized(), f"{module} leaves its processes' group open"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
