"""Several processes on one job, with what torchrun gives its own; each is forked from one that has loaded torch.

torchrun itself, which loads torch for two seconds in every process, is seen in tests/ofa/train/test_train_command.py.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

_FORKS = multiprocessing.get_context("forkserver")
# torch imports the last with the first optimiser, for a second
_FORKS.set_forkserver_preload(
    ["ofa.train.run", "ofa.training.shrinking", "torch.distributed.nn.functional", "torch._dynamo"]
)
_LIMIT_S = 240


def _ranked(environment: dict[str, str], said: Path, main: Callable[[Sequence[str]], int], words: list[str]) -> None:
    os.environ.update(environment)
    for number in (1, 2):
        os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    torch.set_num_threads(1)  # as torchrun asks for: another number adds up in another order
    raise SystemExit(main(words))


def run_ranks(count: int, folder: Path, main: Callable[[Sequence[str]], int], *words: object) -> str:
    """What so many processes with one command line said, one after the other; all must end well.

    folder: a new one, for what they say
    main: found by its name in the other processes, so it is none of a test's own module
    """
    folder.mkdir(parents=True)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=_LIMIT_S))
    common = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        # the store is ours, as it is torchrun's
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    said = [folder / f"{rank}.txt" for rank in range(count)]
    processes = [
        _FORKS.Process(
            target=_ranked,
            args=({**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, said[rank], main, [*map(str, words)]),
        )
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(_LIMIT_S)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
        process.close()
    told = "\n".join(file.read_text(encoding="utf-8") for file in said if file.is_file())
    assert codes == [0] * count, told[-6000:]
    return told
