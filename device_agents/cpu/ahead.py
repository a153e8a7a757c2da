"""Models that are loaded before the first visit, several at once: while one is timed, none is loaded on another CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from device_agents.cpu.machine import near, pin_all

# each takes memory while it is loaded, and beyond a few CPUs there is little left to gain
_MOST_AT_ONCE = 8


def load_ahead(
    load: Callable[[Path], object], paths: Collection[Path], cpus: Sequence[int], usable: Sequence[int]
) -> Iterator[int]:
    """Loads models by all usable CPUs near those that they are timed on, and yields how many are loaded.

    In the end the process is pinned to `cpus` again. load: does not raise
    """
    yield 0
    # the longest first, so that no CPU waits for another in the end
    *order, smallest = sorted(paths, key=lambda path: path.stat().st_size if path.is_file() else 0, reverse=True)
    load(smallest)  # what the runtime learns of the machine as it starts, it learns of the CPUs that it is timed on
    yield 1
    beside = near(cpus, usable)
    pin_all(beside)
    try:
        with ThreadPoolExecutor(min(len(beside) or os.cpu_count() or 1, _MOST_AT_ONCE)) as workers:
            loading = [workers.submit(load, path) for path in order]
            for number, _ in enumerate(as_completed(loading), 2):
                yield number
    finally:
        pin_all(cpus)


def files_of_visits(visits: Iterable[str], models: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """The files of all models that are visited, each once."""
    visited = [models[name] for name in dict.fromkeys(visits)]
    return list(dict.fromkeys(path for model in visited for path in model.get("parts") or [model["path"]]))
