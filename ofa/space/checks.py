"""What each value of a description may be: a check takes a key's name and value, and gives the value as it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import Bounds, short
from ofa.space.resolutions import checked_resolution
from ofa.space.space import MOST_CHOICES
from ofa.space.unit_operators import UNIT_OPERATORS

ACTIVATIONS = ("relu", "relu6", "h_swish", "swish")
KERNEL_SIZES, START_KERNELS = (1, 3, 5, 7), (0, 3, 5)
CHANNELS = Bounds(1, 8192, "channels")
DEPTH = Bounds(0, 32, "blocks")
RATIO = Bounds(0.05, 16, "times")
WIDTH = Bounds(0.01, 4, "times the channels")
EPSILON = Bounds(1e-9, 0.1, "the batch normalisation's epsilon")
DIVISOR = Bounds(1, 64, "channels")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
OURS = re.compile(r"(mbv3|proxyless)(-w.*)?|resnet50d|own", re.IGNORECASE)


def one_of(allowed: Sequence[Any]) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, type(allowed[0])) or value not in allowed:
            raise InputError(f"{name} is {short(value)}, expected one of {', '.join(map(str, allowed))}")
        return value

    return check


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {short(value)}, expected true or false")
    return value


def flag_or_choice(name: str, value: Any) -> tuple[bool, ...]:
    """true, false, or [false, true]: each layer chooses. Ascending."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, bool) for each in value):
        found: tuple[bool, ...] = list_of(flag)(name, value)
        return found
    if not isinstance(value, bool):
        raise InputError(f"{name} is {short(value)}, expected true or false, or [false, true] where each layer chooses")
    return (value,)


def list_of(check: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    """A list of choices, each once: ascending."""

    def listed(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise InputError(f"{name} is {short(value)}, expected a list of choices")
        if len(value) > MOST_CHOICES:
            raise InputError(f"{name} has {len(value)} choices, expected at most {MOST_CHOICES}")
        found, faults = [], []
        for i, each in enumerate(value):
            try:
                found.append(check(f"{name}[{i}]", each))
            except InputError as error:
                faults.append(str(error))
        if faults:
            more = f", and {len(faults) - 1} more like it" if len(faults) > 1 else ""
            raise InputError(f"{faults[0]}{more}")
        if len(set(found)) < len(found):
            raise InputError(f"{name} is {short(list(value))}: a choice is there twice")
        return tuple(sorted(found))

    return listed


def ratio(name: str, value: Any) -> float:
    ratio = RATIO.check(name, value)
    return int(ratio) if ratio == int(ratio) else ratio


def width(name: str, value: Any) -> float:
    return float(WIDTH.check(name, value))


def all_resolutions(name: str, value: Any) -> tuple[int, ...]:
    def pixels(each: str, given: Any) -> int:
        try:
            return checked_resolution(given)
        except InputError as error:
            raise InputError(f"{each}: {error}") from None

    found: tuple[int, ...] = list_of(pixels)(name, value)
    return found


def any_name_of(name: str, value: Any) -> str:
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise InputError(f"{name} is {short(value)}, expected up to 60 letters, digits, and . - _ between them")
    return value


def name_of(name: str, value: Any) -> str:
    text = any_name_of(name, value)
    if OURS.fullmatch(text):
        raise InputError(f"{name} is {short(text)}, which is a space of ours: choose another")
    return text


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "activation": one_of(ACTIVATIONS),
    "operator": one_of(tuple(UNIT_OPERATORS)),
    "squeeze_excite": flag_or_choice,
    "kernel_sizes": list_of(one_of(KERNEL_SIZES)),
    "expand_ratios": list_of(ratio),
    "depths": list_of(DEPTH.whole),
    "start_kernels": list_of(one_of(START_KERNELS)),
}
