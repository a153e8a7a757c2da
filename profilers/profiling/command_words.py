"""A command line as words: as it was typed, and with other values in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from ofa.cli.console import spelled

_HOW_BEGUN = re.compile(r" --(?:overwrite|resume)(?:=\w+)?(?![^ ])")


def command_line(module: str, argv: Sequence[str] | None) -> str:
    """The command as a user would type it, on one printable line, as a table's header needs it."""
    return spelled(module, *(sys.argv[1:] if argv is None else argv))


def continued(command: str) -> str:
    """The command that goes on with what one has begun. command: as typed"""
    return f"{_HOW_BEGUN.sub('', command)} --resume"


def replaced(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with these options' values in place of their own, if they had any. values: {such as "--seed": value}"""
    kept, left = [], iter(words)
    for word in left:
        if word in values:
            next(left, None)
        elif word.partition("=")[0] not in values:
            kept.append(word)
    return [*kept, *(word for option in values.items() for word in option)]
