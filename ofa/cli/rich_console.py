"""The console that make_console makes, in a module of its own, because rich takes long to load."""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

# what a terminal acts on, what turns the direction of text, and bytes that are no text; lines and tabs stay
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

CHAINED = "OFA_CHAINED"  # in the environment of a command that is one of several: who runs them says what comes next
NEXT = ("next: ", "before python -m ")


class PlainConsole(Console):
    """Shows what steers a terminal as escapes: names of files and of classes may hold it.

    It leaves a reader that went away (`| head`) to `ofa.cli.streams`; rich itself ends with 1.
    In a command that is one of several, lines on what to do next are left out.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        if os.environ.get(CHAINED) and objects and str(objects[0]).startswith(NEXT):
            return
        super().print(*objects, **how)

    def on_broken_pipe(self) -> NoReturn:
        raise

    def render_str(self, text: str, **how: Any) -> Text:
        """As rich makes of every text that it shows, in tables too."""
        return super().render_str(_harmless(text), **how)

    def out(self, *objects: Any, **how: Any) -> None:
        """As rich's: without wrapping."""
        super().out(*(_harmless(str(each)) for each in objects), **how)


def _harmless(text: str) -> str:
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)
