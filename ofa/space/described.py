"""A space read from its description: a TOML file, or the same as a mapping. Everything wrong is said at once.

docs/your_own_space.md lists the keys. Channels are multiplied by the width; where they are a list, one for each
width, they are as they stand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import Bounds, short
from ofa.reading.problems import Key, Problems, named, toml_lines
from ofa.reading.structured import content_of, parse_toml
from ofa.space.parts import FirstBlock, Head, Stem, Unit, make_divisible
from ofa.space.resolutions import RESOLUTIONS, checked_resolution
from ofa.space.space import MOST_CHOICES, SearchSpace
from ofa.space.unit_operators import UNIT_OPERATORS, unit_operator

ACTIVATIONS = ("relu", "relu6", "h_swish", "swish")
KERNEL_SIZES = (3, 5, 7)
CHANNELS = Bounds(1, 8192, "channels")
DEPTH = Bounds(0, 32, "blocks")
RATIO = Bounds(0.05, 16, "times")
WIDTH = Bounds(0.01, 4, "times the channels")
EPSILON = Bounds(1e-9, 0.1, "the batch normalisation's epsilon")
DIVISOR = Bounds(1, 64, "channels")
MOST_UNITS = 32
MOST_CONFIGURATIONS = 1 << 18  # of a unit: searches and predictors list them
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
OURS = re.compile(r"(mbv3|proxyless)(-w.*)?|resnet50d|own", re.IGNORECASE)

_SHARED = ("activation", "operator", "squeeze_excite", "kernel_sizes", "expand_ratios", "depths")
_TOP = (
    *("name", "widths", "channel_divisor", "batch_norm_epsilon", "resolutions"),
    *(*_SHARED, "stem", "first_block", "units", "head"),
)
_STEM = ("kind", "channels", "activation", "depths")
_FIRST_BLOCK = ("channels", "activation", "skip")
_UNIT = ("channels", "stride", "base_depth", *_SHARED)
_HEAD = ("expand", "mix", "activation")
_ABSENT = object()


def read_space(path: Path, num_classes: int = 1000) -> SearchSpace:
    """The space that a TOML file describes. InputError names file, line, key and what is allowed, all at once."""
    text = content_of(path)
    content = parse_toml(text, path)
    lines = toml_lines(text.decode("utf-8"))
    return replace(described_space(content, path, num_classes, lines=lines), source=str(path))


def described_space(
    content: Mapping[str, Any],
    where: object = "description",
    num_classes: int = 1000,
    *,
    lines: Mapping[Key, int] | None = None,
    any_name: bool = False,
) -> SearchSpace:
    """The space of a description as TOML and JSON have it.

    where: begins messages; lines: of its keys; any_name: whether it may have the name of a space of ours
    """
    problems = Problems(where, lines)
    space = _Description(content, problems).space(num_classes, any_name)
    problems.raise_any()
    assert space is not None
    return space


class _Fields:
    """A table of a description: each method takes one key, checks it, and adds what is wrong to the problems.

    What is wrong, or missing without a default, is None.
    """

    def __init__(self, content: Any, at: Key, problems: Problems, known: Sequence[str], shared: _Fields | None) -> None:
        self.at, self.problems, self.shared = at, problems, shared
        self.content: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
        self.is_table = isinstance(content, Mapping)
        if not self.is_table:
            problems.add(at, f"{named(at)} is {short(content)}, expected a table of {', '.join(known)}")
        for key in self.content:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(known)}"
                problems.add((*at, key), f"{named((*at, key))} is unknown: {hint}")

    def has(self, key: str) -> bool:
        return key in self.content or (self.shared is not None and self.shared.has(key))

    def take(self, key: str, check: Callable[[str, Any], Any], default: Any = _ABSENT) -> Any:
        """The key's value as `check(its name, its value)` makes it; of the top where only that has it."""
        if key not in self.content and self.shared is not None and key in self.shared.content:
            return self.shared.take(key, check, default)
        at = (*self.at, key)
        if key not in self.content:
            if default is _ABSENT and self.is_table:
                self.problems.add(self.at, f"{named(at)} is missing")
            return None if default is _ABSENT else default
        with self.problems.at(at):
            return check(named(at), self.content[key])
        return None


class _Description:
    def __init__(self, content: Mapping[str, Any], problems: Problems) -> None:
        self.problems = problems
        self.top = _Fields(content, (), problems, _TOP, None)
        self.widths: tuple[float, ...] = self.top.take("widths", _list_of(_width), (1.0,)) or (1.0,)
        self.divisor: int = self.top.take("channel_divisor", DIVISOR.whole, 8) or 8

    def space(self, num_classes: int, any_name: bool) -> SearchSpace | None:
        """None where there are problems, which are then told."""
        name = self.top.take("name", _any_name if any_name else _name)
        eps = self.top.take("batch_norm_epsilon", EPSILON.check, 1e-5)
        resolutions = self.top.take("resolutions", _resolutions, RESOLUTIONS) or RESOLUTIONS
        for key in _SHARED:  # checked here, where they are written, once
            self.top.take(key, _CHECKS[key], None)
        stem, stem_unit = self.stem()
        first_block = self.first_block(stem)
        units = [*stem_unit, *self.units()]
        head = self.head()
        if not self.problems:
            self.check_shape(units, first_block, stem_unit, resolutions)
        if self.problems:
            return None
        assert stem is not None and name is not None and eps is not None and head is not None
        return SearchSpace(
            name, num_classes, tuple(units), stem, first_block, head, self.widths, float(eps), self.divisor,
            resolutions=resolutions,
        )  # fmt: skip

    def fields(self, key: str, known: Sequence[str]) -> _Fields:
        return _Fields(self.top.content.get(key, {}), (key,), self.problems, known, self.top)

    def channels(self, fields: _Fields, key: str = "channels", default: Any = _ABSENT) -> tuple[int, ...] | None:
        """One per width."""

        def check(name: str, value: Any) -> tuple[int, ...]:
            if isinstance(value, list | tuple):
                if len(value) != len(self.widths):
                    raise InputError(
                        f"{name} has {len(value)} values, expected one for each of {len(self.widths)} widths"
                    )
                return tuple(CHANNELS.whole(f"{name}[{i}]", each) for i, each in enumerate(value))
            base = CHANNELS.whole(name, value)
            return tuple(base if w == 1 else make_divisible(base * w, self.divisor) for w in self.widths)

        found: tuple[int, ...] | None = fields.take(key, check, default)
        return found

    def stem(self) -> tuple[Stem | None, list[Unit]]:
        """And the unit that the rest of a deep one is."""
        fields = self.fields("stem", _STEM)
        kind = fields.take("kind", _one_of(("plain", "deep")), "plain")
        channels, activation = self.channels(fields), fields.take("activation", _CHECKS["activation"])
        if kind != "deep":
            if "depths" in fields.content:
                self.problems.add(("stem", "depths"), 'stem.depths is for a stem of kind = "deep"')
            return (None, []) if channels is None or activation is None else (Stem(channels, activation), [])
        depths = _Fields(fields.content, ("stem",), Problems(""), _STEM, None).take("depths", lambda _, v: v, [0, 2])
        if depths not in ([0], [2], [0, 2], (0,), (2,), (0, 2)):
            self.problems.add(("stem", "depths"), f"stem.depths is {short(depths)}, expected [0], [2] or [0, 2]")
            return None, []
        if channels is None or activation is None:
            return None, []
        inner = tuple(make_divisible(c // 2, self.divisor) for c in channels)
        return Stem(inner, activation), [Unit("stem", channels, 2, activation, False, tuple(depths))]

    def first_block(self, stem: Stem | None) -> FirstBlock | None:
        if "first_block" not in self.top.content:
            return None
        fields = self.fields("first_block", _FIRST_BLOCK)
        channels, activation = self.channels(fields), fields.take("activation", _CHECKS["activation"])
        skip = fields.take("skip", _flag, False)
        if stem is None or channels is None or activation is None or skip is None:
            return None
        if skip and channels[0] != stem.channels[0]:
            self.problems.add(
                ("first_block", "skip"),
                f"first_block.skip is true, but it has {channels[0]} channels and is given {stem.channels[0]}: "
                "only what has its input's shape can add it; leave skip out",
            )
        return FirstBlock(channels[0], activation, skip)

    def units(self) -> list[Unit]:
        listed = self.top.content.get("units")
        if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_UNITS:
            shown = f"has {len(listed)}" if isinstance(listed, list) else f"is {short(listed)}"
            self.problems.add(("units",), f"units {shown}, expected 1 to {MOST_UNITS} tables [[units]]")
            return []
        found = [self.unit(i, content) for i, content in enumerate(listed)]
        return [unit for unit in found if unit is not None]

    def unit(self, i: int, content: Any) -> Unit | None:
        at = ("units", i)
        fields = _Fields(content, at, self.problems, _UNIT, self.top)
        op = fields.take("operator", _CHECKS["operator"], "mbconv")
        channels, stride = self.channels(fields), fields.take("stride", _one_of((1, 2)), 1)
        activation = fields.take("activation", _CHECKS["activation"])
        operator = unit_operator(op or "mbconv")
        squeeze = fields.take("squeeze_excite", _flag, operator.squeeze_excite[0])
        kernels = fields.take("kernel_sizes", _CHECKS["kernel_sizes"], (3,))
        expands = fields.take("expand_ratios", _CHECKS["expand_ratios"])
        depths, base = fields.take("depths", _CHECKS["depths"]), fields.take("base_depth", DEPTH.whole, 0)
        if squeeze is not None and squeeze not in operator.squeeze_excite:
            self.problems.add(
                (*at, "squeeze_excite"),
                f"{named((*at, 'squeeze_excite'))} is {short(squeeze)}, but {op} has only {short(not squeeze)}",
            )
        if len(self.widths) > 1 and not operator.elastic_width:
            wide = [name for name, of in UNIT_OPERATORS.items() if of.elastic_width]
            self.problems.add(("widths",), f"several widths are for units of {' or '.join(wide)} alone")
        if None in (op, channels, stride, activation, squeeze, kernels, expands, depths, base):
            return None
        unit = Unit(op, channels, stride, activation, squeeze, depths, base, kernels, expands)  # type: ignore[arg-type]
        if base + min(depths) < 1:
            self.problems.add((*at, "depths"), f"{named((*at, 'depths'))} is {short(list(depths))}: a unit has a block")
        elif unit.configurations > MOST_CONFIGURATIONS:
            self.problems.add(
                at,
                f"{named(at)} has {unit.configurations:.3g} configurations, expected at most {MOST_CONFIGURATIONS:,}: "
                "give it fewer kernel_sizes, expand_ratios or depths, or make two units of it",
            )
        return unit

    def head(self) -> Head | None:
        fields = self.fields("head", _HEAD)
        sizes = []
        for key in ("expand", "mix"):
            if len(self.widths) > 1 and fields.content.get(key):
                self.problems.add(("head", key), f"head.{key} has one width, so it is not for several widths")
            sizes.append(self.channels(fields, key, (0,)))
        expand, mix = sizes
        none = expand == mix == (0,)
        activation = "none" if none else fields.take("activation", _CHECKS["activation"])
        if expand is None or mix is None or activation is None:
            return None
        return Head(expand[0], mix[0], activation)

    def check_shape(
        self, units: list[Unit], first: FirstBlock | None, stem_unit: list[Unit], resolutions: tuple[int, ...]
    ) -> None:
        """What no key has wrong by itself."""
        if len(self.widths) > 1 and (not stem_unit or first is not None):
            key, fault = ("first_block", "has one width") if first else ("stem", 'is not of kind = "deep"')
            self.problems.add((key,), f"{key} {fault}, so it is not for several widths")
        halvings, least = 2 if stem_unit else 1, min(resolutions)
        for i, unit in enumerate(units[len(stem_unit) :]):
            halvings += unit.stride == 2
            if unit.stride == 2 and 2**halvings > least:
                self.problems.add(
                    ("units", i, "stride"),
                    f"units[{i}].stride is 2, but of an image of {least} px nothing is left after {halvings} halvings: "
                    "expected 1, or greater resolutions",
                )
                return


def _one_of(allowed: Sequence[Any]) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, type(allowed[0])) or value not in allowed:
            raise InputError(f"{name} is {short(value)}, expected one of {', '.join(map(str, allowed))}")
        return value

    return check


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {short(value)}, expected true or false")
    return value


def _list_of(check: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    """A list of choices, each once: ascending."""

    def listed(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise InputError(f"{name} is {short(value)}, expected a list of choices")
        if len(value) > MOST_CHOICES:
            raise InputError(f"{name} has {len(value)} choices, expected at most {MOST_CHOICES}")
        found = [check(f"{name}[{i}]", each) for i, each in enumerate(value)]
        if len(set(found)) < len(found):
            raise InputError(f"{name} is {short(list(value))}: a choice is there twice")
        return tuple(sorted(found))

    return listed


def _ratio(name: str, value: Any) -> float:
    ratio = RATIO.check(name, value)
    return int(ratio) if ratio == int(ratio) else ratio


def _width(name: str, value: Any) -> float:
    return float(WIDTH.check(name, value))


def _resolutions(name: str, value: Any) -> tuple[int, ...]:
    def pixels(each: str, given: Any) -> int:
        try:
            return checked_resolution(given)
        except InputError as error:
            raise InputError(f"{each}: {error}") from None

    found: tuple[int, ...] = _list_of(pixels)(name, value)
    return found


def _any_name(name: str, value: Any) -> str:
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise InputError(f"{name} is {short(value)}, expected up to 60 letters, digits, and . - _ between them")
    return value


def _name(name: str, value: Any) -> str:
    text = _any_name(name, value)
    if OURS.fullmatch(text):
        raise InputError(f"{name} is {short(text)}, which is a space of ours: choose another")
    return text


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "activation": _one_of(ACTIVATIONS),
    "operator": _one_of(tuple(UNIT_OPERATORS)),
    "squeeze_excite": _flag,
    "kernel_sizes": _list_of(_one_of(KERNEL_SIZES)),
    "expand_ratios": _list_of(_ratio),
    "depths": _list_of(DEPTH.whole),
}
