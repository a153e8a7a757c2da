"""Commands run as `python -m` runs them, but in this process: a new one would first load torch, for two seconds.

That every program is started by `ofa.cli.run.run` with its own `main` is seen in tests/ofa/cli/test_all_commands.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from ofa.cli.run import run


@dataclass(frozen=True)
class Ended:
    """What is seen of a program that ended."""

    returncode: int
    stdout: str
    stderr: str


def ended(
    main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str], *words: object, failed: int | None = None
) -> Ended:
    """Runs a command line to its end; failed: as the program gives it to `run`."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run(lambda: main([*map(str, words)]), failed)
    said = capsys.readouterr()
    assert left.value.code is None or isinstance(left.value.code, int)
    return Ended(left.value.code or 0, said.out, said.err)
