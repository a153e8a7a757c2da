"""Models that are loaded before the first visit, several at once: while one is timed, none is loaded on another CPU.

The host may still be writing models while others are loaded: it writes 150 of them in two seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from device_agents.cpu.machine import near, pin_all

# each takes memory while it is loaded, and beyond a few CPUs there is little left to gain
_MOST_AT_ONCE = 8
# how often a file is looked for, and after how many looks that is said
_LOOK_S, _LOOKS_IN_SILENCE = 0.01, 20


def load_ahead(
    load: Callable[[Path], object], coming: Iterable[Path | None], cpus: Sequence[int], usable: Sequence[int]
) -> Iterator[int]:
    """Loads models by all usable CPUs near those that they are timed on, and yields how many are loaded, at least.

    In the end the process is pinned to `cpus` again. load: does not raise
    coming: the files, and None while the next is waited for; the longest first, so that no CPU waits for another in
        the end, but for the first: what the runtime learns of the machine as it starts, it learns of the CPUs that it
        is timed on
    """
    yield 0
    files = iter(coming)
    for path in files:
        if path is not None:
            load(path)
            break
        yield 0
    else:
        return
    yield 1
    beside = near(cpus, usable)
    pin_all(beside)
    try:
        with ThreadPoolExecutor(min(len(beside) or os.cpu_count() or 1, _MOST_AT_ONCE)) as workers:
            loading = []
            for path in files:
                if path is None:
                    yield 1
                else:
                    loading.append(workers.submit(load, path))
            for number, _ in enumerate(as_completed(loading), 2):
                yield number
    finally:
        pin_all(cpus)


def smallest_then_longest(paths: Collection[Path]) -> list[Path]:
    by_size = sorted(paths, key=lambda path: path.stat().st_size if path.is_file() else 0)
    return [*by_size[:1], *reversed(by_size[1:])]


def awaited(order: Collection[Path], wanted: Collection[Path]) -> Iterator[Path | None]:
    """Waits for all these files, and yields those that are wanted as they appear; now and then, None.

    order: in which they appear, each as a whole; what is wanted besides is there already
    """
    asked, expected = {*wanted}, {*order}
    for path in order:
        looked = 0
        while not path.exists():
            time.sleep(_LOOK_S)
            looked += 1
            if looked % _LOOKS_IN_SILENCE == 0:
                yield None
        if path in asked:
            yield path
    yield from (path for path in wanted if path not in expected)


def files_of_visits(visits: Iterable[str], models: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """The files of all models that are visited, each once."""
    visited = [models[name] for name in dict.fromkeys(visits)]
    return list(dict.fromkeys(path for model in visited for path in model.get("parts") or [model["path"]]))
