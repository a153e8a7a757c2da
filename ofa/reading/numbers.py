"""The one reader of numbers that stand in files, options and agents' lines: plain decimals within plausible bounds.

Python's own `float` and `int` take more than anyone writes: 1_0.5, full-width digits, "nan", five thousand digits.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass

from ofa.errors import InputError

MAX_DIGITS = 40  # of any number as it is written; a double has 17
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Bounds:
    """What a number may be: from `least` to `most`, both included.

    what: what is counted or the unit, such as "milliseconds"
    """

    least: float
    most: float
    what: str

    def __str__(self) -> str:
        return f"a number of {self.what} from {self.least:g} to {self.most:g}"

    def check(self, name: str, value: object) -> float:
        """A number that a program wrote, such as JSON's; InputError names it. True and False are no numbers."""
        # an integer may be too large for a double: compared as it is
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise InputError(f"{name} is {short(value)}, expected {self}")
        return value

    def whole(self, name: str, value: object) -> int:
        """As `check`, a whole number."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise InputError(f"{name} is {short(value)}, expected a whole {str(self)[2:]}")
        return value

    def decimal(self, name: str, text: str) -> float:
        """A decimal number as text."""
        value = plain_decimal(text)
        if value is None or not self.least <= value <= self.most:
            with_point = "" if plain_decimal(text.replace(",", ".", 1)) is None or "," not in text else ", with a point"
            raise InputError(f"{name} is {short(text)}, expected {self}{with_point}")
        return value

    def integer(self, name: str, text: str) -> int:
        """A whole number as text."""
        value = plain_whole(text)
        if value is None or not self.least <= value <= self.most:
            raise InputError(f"{name} is {short(text)}, expected a whole {str(self)[2:]}")
        return value


def plain_decimal(text: str) -> float | None:
    """A decimal number as people write it, None for what is none; 1e999 is infinite."""
    return float(text) if len(text) <= MAX_DIGITS and _DECIMAL.fullmatch(text) else None


def plain_whole(text: str) -> int | None:
    """A whole number as people write it, None for what is none."""
    return int(text) if len(text) <= MAX_DIGITS and _WHOLE.fullmatch(text) else None


def short(value: object) -> str:
    """A value for a message: text quoted and escaped, else as JSON and TOML have it, and not longer than a line.

    None, which stands for what a file or an agent does not tell, is "missing".
    """
    if value is None:
        return "missing"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MAX_DIGITS:
        return "an integer of more than 40 digits"  # which Python refuses to print where it is longer still
    shown = ascii(value) if isinstance(value, str) else _as_json(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _as_json(value: object) -> str:
    if isinstance(value, bool | list | tuple | dict):
        with suppress(TypeError, ValueError, RecursionError):
            return json.dumps(value)
    return repr(value)


def cut(text: object, longest: int = 60) -> str:
    """A name for a message, as it is and not longer than a line; whatever cannot be printed, the error escapes."""
    whole = str(text)
    return whole if len(whole) <= longest else f"{whole[: longest - 3]}..."


# a block of a network, or a network, on anything: a nanosecond to three hours
MILLISECONDS = Bounds(1e-6, 1e7, "milliseconds")
SPREAD_MS = Bounds(0, 1e7, "milliseconds")
MILLIJOULES = Bounds(0, 1e9, "millijoules")
PERCENT = Bounds(0, 100, "per cent")
PIXELS = Bounds(32, 1024, "pixels")
SIZE = Bounds(1, 4096, "pixels")  # of a feature map or a kernel
CHANNELS = Bounds(0, 10**6, "channels")
COUNT = Bounds(1, 10**9, "items")
