"""The console that make_console makes, in a module of its own, because rich takes long to load."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class PlainConsole(Console):
    """Leaves a reader that went away (`| head`) to `ofa.cli.run`, which ends with 0; rich itself ends with 1."""

    def on_broken_pipe(self) -> NoReturn:
        raise
