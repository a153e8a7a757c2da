"""A space read from its description: a TOML file, or the same as a mapping. Everything wrong is said at once.

docs/your_own_space.md lists the keys. Channels are multiplied by the width; where they are a list, one for each
width, they are as they stand.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.reading.problems import Key, Problems, named, toml_lines
from ofa.reading.structured import content_of, parse_toml
from ofa.space.checks import (
    CHANNELS,
    CHECKS,
    DEPTH,
    DIVISOR,
    EPSILON,
    all_resolutions,
    any_name_of,
    flag,
    list_of,
    name_of,
    one_of,
    width,
)
from ofa.space.parts import FirstBlock, Head, Stem, Unit, make_divisible
from ofa.space.resolutions import RESOLUTIONS
from ofa.space.space import SearchSpace
from ofa.space.unit_operators import UNIT_OPERATORS, UnitOperator, unit_operator

MOST_BYTES = 2**20
MOST_UNITS = 32
MOST_CONFIGURATIONS = 1 << 18  # of a unit: searches and predictors list them

_SHARED = ("activation", "operator", "squeeze_excite", "kernel_sizes", "expand_ratios", "depths", "start_kernels")
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
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: {len(text) / 2**20:.1f} MiB, more than a description ever has")
    content = parse_toml(text, path, any_float=True)  # every number is checked, with its key
    lines = toml_lines(text.decode("utf-8-sig"))
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
        widths: tuple[float, ...] | None = self.top.take("widths", list_of(width), (1.0,))
        self.widths, self.widths_known = widths or (1.0,), widths is not None
        self.divisor: int = self.top.take("channel_divisor", DIVISOR.whole, 8) or 8
        self.deep = False
        self.strides: list[int | None] = []  # of the units; None where it is wrong

    def space(self, num_classes: int, any_name: bool) -> SearchSpace | None:
        """None where there are problems, which are then told."""
        name = self.top.take("name", any_name_of if any_name else name_of)
        eps = self.top.take("batch_norm_epsilon", EPSILON.check, 1e-5)
        resolutions = self.top.take("resolutions", all_resolutions, RESOLUTIONS) or RESOLUTIONS
        for key in _SHARED:  # checked here, where they are written, once
            self.top.take(key, CHECKS[key], None)
        stem, stem_unit = self.stem()
        first_block = self.first_block(stem)
        units = [*stem_unit, *self.units()]
        head = self.head()
        self.check_widths(first_block)
        self.check_halvings(resolutions)
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
                if self.widths_known and len(value) != len(self.widths):
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
        kind = fields.take("kind", one_of(("plain", "deep")), "plain")
        self.deep = kind == "deep"
        channels, activation = self.channels(fields), fields.take("activation", CHECKS["activation"])
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
        channels, activation = self.channels(fields), fields.take("activation", CHECKS["activation"])
        skip = fields.take("skip", flag, False)
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
        op = fields.take("operator", CHECKS["operator"], "mbconv")
        channels, stride = self.channels(fields), fields.take("stride", one_of((1, 2)), 1)
        self.strides.append(stride)
        activation = fields.take("activation", CHECKS["activation"])
        operator = unit_operator(op or "mbconv")
        squeeze = fields.take("squeeze_excite", CHECKS["squeeze_excite"], operator.squeeze_excite[:1])
        kernels = fields.take("kernel_sizes", CHECKS["kernel_sizes"], (3,))
        expands = fields.take("expand_ratios", CHECKS["expand_ratios"])
        depths, base = fields.take("depths", CHECKS["depths"]), fields.take("base_depth", DEPTH.whole, 0)
        if op is not None and len(self.widths) > 1 and not operator.elastic_width:
            wide = [name for name, of in UNIT_OPERATORS.items() if of.elastic_width]
            self.problems.add(("widths",), f"several widths are for units of {' or '.join(wide)} alone")
        starts = fields.take("start_kernels", CHECKS["start_kernels"], (0,))
        if op is not None:
            self.check_operator(at, operator, squeeze, kernels=kernels, starts=starts)
        if depths is not None and base is not None and base + min(depths) < 1:
            self.problems.add((*at, "depths"), f"{named((*at, 'depths'))} is {short(list(depths))}: a unit has a block")
        if None in (op, channels, stride, activation, squeeze, kernels, expands, depths, base, starts):
            return None
        assert channels is not None
        chosen = len(squeeze) > 1
        unit = Unit(op, channels, stride, activation, squeeze[-1], depths, base, kernels, expands, starts, chosen)
        if unit.configurations > MOST_CONFIGURATIONS:
            self.problems.add(
                at,
                f"{named(at)} has {unit.configurations:.3g} configurations, expected at most {MOST_CONFIGURATIONS:,}: "
                "give it fewer kernel_sizes, expand_ratios or depths, or make two units of it",
            )
        return unit

    def check_operator(
        self,
        at: Key,
        operator: UnitOperator,
        squeeze: Sequence[bool] | None,
        *,
        kernels: Sequence[int] | None,
        starts: Sequence[int] | None,
    ) -> None:
        """What the unit's operator cannot have of what is right by itself; None: it is not."""
        for key, given, allowed in (
            ("kernel_sizes", kernels, operator.kernel_sizes),
            ("start_kernels", starts, operator.start_kernels),
        ):
            if given is not None and not set(given) <= set(allowed):
                self.problems.add(
                    (*at, key),
                    f"{named((*at, key))} is {short(list(given))}, but {operator.name} has only "
                    f"{', '.join(map(str, allowed))}",
                )
        if squeeze is not None and tuple(squeeze) not in operator.squeeze_excites:
            found, *known = (json.dumps(of if len(of) > 1 else of[0]) for of in (squeeze, *operator.squeeze_excites))
            place = (*at, "squeeze_excite")
            self.problems.add(place, f"{named(place)} is {found}, but {operator.name} has only {' or '.join(known)}")

    def head(self) -> Head | None:
        fields = self.fields("head", _HEAD)
        sizes = []
        for key in ("expand", "mix"):
            if len(self.widths) > 1 and fields.content.get(key):
                self.problems.add(("head", key), f"head.{key} has one width, so it is not for several widths")
            sizes.append(self.channels(fields, key, (0,)))
        expand, mix = sizes
        none = expand == mix == (0,)
        activation = "none" if none else fields.take("activation", CHECKS["activation"])
        if expand is None or mix is None or activation is None:
            return None
        return Head(expand[0], mix[0], activation)

    def check_widths(self, first: FirstBlock | None) -> None:
        """What no key has wrong by itself: parts of one width among several."""
        if len(self.widths) > 1 and (not self.deep or first is not None):
            key, fault = ("first_block", "has one width") if first else ("stem", 'is not of kind = "deep"')
            self.problems.add((key,), f"{key} {fault}, so it is not for several widths")

    def check_halvings(self, resolutions: tuple[int, ...]) -> None:
        """Likewise: an image that is halved until nothing is left. A stride that is not known counts 1."""
        halvings, least = 2 if self.deep else 1, min(resolutions)
        for i, stride in enumerate(self.strides):
            halvings += stride == 2
            if stride == 2 and 2**halvings > least:
                self.problems.add(
                    ("units", i, "stride"),
                    f"units[{i}].stride is 2, but of an image of {least} px nothing is left after {halvings} halvings: "
                    "expected 1, or greater resolutions",
                )
                return
