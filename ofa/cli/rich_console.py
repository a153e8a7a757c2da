"""The console that make_console makes, in a module of its own, because rich takes long to load."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from rich.console import Console

CHAINED = "OFA_CHAINED"  # in the environment of a command that is one of several: who runs them says what comes next
NEXT = ("next: ", "before python -m ")


class PlainConsole(Console):
    """Leaves a reader that went away (`| head`) to `ofa.cli.run`, which ends with 0; rich itself ends with 1.

    In a command that is one of several, lines on what to do next are left out.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        if os.environ.get(CHAINED) and objects and str(objects[0]).startswith(NEXT):
            return
        super().print(*objects, **how)

    def on_broken_pipe(self) -> NoReturn:
        raise
