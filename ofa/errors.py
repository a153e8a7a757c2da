"""What goes wrong because of the caller's input, as opposed to a fault of ours.

Command-line tools print these without a traceback and exit with `exit_code`.
"""

import re

LONGEST = 1000  # characters of a message
_WORD = re.compile(r"[^\s/]{200,}")  # longer than whatever a person reads: a damaged file's value


class InputError(ValueError):
    """A file, field, name or flag is wrong; the message names it and the way out.

    As text it is one printable line of bounded length, whatever a file's name or content put into it.
    """

    exit_code = 2

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """The text with all escaped that a terminal would act on; of a long one, and of a long word, beginning and end."""
    shown = text[: 2 * LONGEST] + text[2 * LONGEST :][-LONGEST:]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    shown = _WORD.sub(lambda word: f"{word[0][:60]}...{word[0][-20:]}", shown)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST * 2 // 3]} ... {shown[5 - LONGEST // 3 :]}"


class Infeasible(InputError):
    """No sub-network can meet the limit; the message says what the best possible is."""


class NoDevice(InputError):
    """The device that was asked for is not to be had here; the message says what can be done instead."""


class UsageError(InputError):
    """A command's options, or a config's fields, are wrong."""
