"""Whether a training uses CUDA graphs."""

from __future__ import annotations

from ofa.errors import InputError
from ofa.runs.processes import Processes


def chosen_graphs(asked: str, procs: Processes, bn: str) -> bool:
    """Whether blocks become CUDA graphs. "auto": on a GPU, with one process. InputError for "on" where they cannot."""
    gpu = procs.device.type == "cuda"
    if asked == "on" and not gpu:
        raise InputError(f"--graphs on needs a GPU, the device is {procs.device}: give --graphs auto or off")
    if asked == "on" and bn == "sync" and procs.count > 1:
        raise InputError("--graphs on: with --bn sync blocks wait for other processes: give --bn local or --graphs off")
    return asked == "on" or (asked == "auto" and gpu and procs.count == 1)
