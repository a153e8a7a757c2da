"""Which programs there are, and what is in their files; and commands run as `python -m` runs them, but in this process:
a new one would first load torch, for two seconds.

That every program is started by `ofa.cli.run.run` with its own `main` is seen in tests/ofa/cli/test_all_commands.py.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ofa.cli.command import choose
from ofa.cli.run import run

ROOT = Path(__file__).resolve().parents[2]
AGENTS = ("device_agents/cpu/agent.py", "device_agents/cuda/agent.py")  # no commands: they answer a host


def programs() -> list[str]:
    """Every module that `python -m` starts, by its name there."""
    found = []
    for package in ("ofa", "profilers", "latency_tables", "device_agents"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            starts = path.name == "__main__.py" or '__name__ == "__main__"' in path.read_text(encoding="utf-8")
            if starts and name not in AGENTS:
                found.append(name.removesuffix(".py").removesuffix("/__main__").replace("/", "."))
    return found


def parse(module: str, words: list[str]) -> Any:
    """The config of a command line, as its command makes it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    made = importlib.import_module(f"{module}.__main__" if spec.submodule_search_locations is not None else module)
    if hasattr(made, "COMMANDS"):
        return choose(module, made.COMMANDS, words)
    return made.COMMAND.parse(words)


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """The syntax tree of a file, and all nodes of it: half a dozen tests look at every file of the packages."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


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
