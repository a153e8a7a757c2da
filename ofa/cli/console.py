"""What commands print on: one width, one progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from ofa.runs.system import typed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PIPE_WIDTH = 120  # columns where there is no terminal: tables for `| grep` keep their lines


def make_console(file: IO[str] | None = None, *, quiet: bool = False) -> Console:
    """A console as wide as the terminal, else of one width; text is printed as it is, without markup.

    file: standard output by default; quiet: prints nothing, as all processes but the first of several do
    """
    from ofa.cli.rich_console import PlainConsole

    console = PlainConsole(file=file, quiet=quiet, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def tell(console: Console, lines: Iterable[str | None], marks: Iterable[str], *, quiet: bool = False) -> None:
    """Shows lines, and each mark as a warning on standard error; `quiet`: nothing, in all processes but one."""
    for line in lines:
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for mark in marks:
        if not quiet:
            print(f"warning: {mark}", file=sys.stderr)


def spelled(module: str, *words: object) -> str:
    """`python -m module words` as one types it: quoted, and on one line whatever is in a file's name."""
    return typed(["python", "-m", module, *map(str, words)])


class Bar:
    """A progress bar with a line for everything that is under way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, done: float, total: float = 1.0) -> None:
        """How much of a task is done; a new name adds a line."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)


@contextmanager
def progress_bar(console: Console, *, counted: bool = False) -> Iterator[Bar]:
    """The bar of every command: what is done, and the time that is left; it goes when the work is done.

    counted: whether to show "12/125" as well
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = [MofNCompleteColumn()] if counted else []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *count, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress)
