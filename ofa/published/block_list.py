"""Networks as JSON lists of blocks: for what is in no space and has no name. docs/networks_as_blocks.md.

    {"name": "mine", "resolution": 224, "blocks": [
      {"op": "conv", "out_channels": 32, "kernel_size": 3, "stride": 2, "activation": "relu6"},
      {"op": "mbconv", "expand": 6, "out_channels": 16, "kernel_size": 3, "activation": "relu6"},
      {"op": "global_pool"}, {"op": "linear", "out_channels": 1000}]}

What a block is given follows from the block before it: in_size and in_channels may be left out, and must agree with
that where they are there. A bare list is a network too, whose first block has in_size.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ofa.blocks import ACTIVATIONS, BLOCK_FIELDS, OPERATORS, Block
from ofa.blocks.operators import check_block
from ofa.errors import InputError, one_line
from ofa.published.block_network import BlockNetwork
from ofa.reading.numbers import PERCENT, PIXELS, Bounds, short
from ofa.reading.problems import Key, Problems, named

FORMAT = "ofa-blocks/1"
MOST_BLOCKS = 1000
MOST_TEXT = 200  # characters of a name
CHANNELS = Bounds(1, 10**5, "channels")
EXPAND = Bounds(0.05, 100, "times the channels of the input")
_SIZE = Bounds(1, 1024, "pixels")
_TOP = ("format", "name", "source", "resolution", "top1", "blocks")
_BLOCK = (*BLOCK_FIELDS, "expand", "name")
_CHOICES = {"kernel_size": (1, 3, 5, 7), "stride": (1, 2), "activation": ACTIVATIONS}
_KEEPING = ("global_pool", "max_pool")  # as many channels as they are given
_USUAL: dict[str, Any] = {"kernel_size": 1, "stride": 1, "activation": "none", "squeeze_excite": False, "skip": False}


def read_block_list(content: Any, where: Path, resolution: int | None = None) -> BlockNetwork:
    """The network of a file's content, a list of blocks or an object that has one.

    resolution: side of the images, pixels (default: the file's). InputError names all that is wrong, with its place.
    """
    problems = Problems(where)
    top: Mapping[str, Any] = content if isinstance(content, Mapping) else {"blocks": content}
    _check_keys(top, (), _TOP, problems)
    if top.get("format", FORMAT) != FORMAT:
        problems.add(("format",), f"format is {short(top['format'])}, expected {FORMAT!r}")
    top1 = None
    if top.get("top1") is not None:
        with problems.at(("top1",)):
            top1 = PERCENT.check("top1", top["top1"])
    rows = top.get("blocks")
    size = _first_size(top, rows if isinstance(rows, list) else [], problems, resolution)
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_BLOCKS:
        shown = f"has {len(rows):,}" if isinstance(rows, list) else f"is {short(rows)}"
        problems.add(("blocks",), f"blocks {shown}, expected a list of 1 to {MOST_BLOCKS:,}")
        rows = []
    blocks = _blocks(rows, size, problems)
    usual = {"name": where.stem, "source": str(where)}  # which may hold anything
    texts = {key: _text(top, key, one_line(text)[:MOST_TEXT], problems) for key, text in usual.items()}
    problems.raise_any()
    network = BlockNetwork(texts["name"], tuple(blocks), texts["source"], top1)
    return network if resolution is None else network.at(resolution)


def block_list(network: BlockNetwork) -> dict[str, Any]:
    """The JSON form, every field written out; `read_block_list` reads it back."""
    return {
        "format": FORMAT,
        "name": network.name,
        "source": network.source,
        "resolution": network.resolution,
        **({} if network.top1 is None else {"top1": network.top1}),
        "blocks": [{field: getattr(block, field) for field in BLOCK_FIELDS} for block in network.blocks],
    }


def _text(top: Mapping[str, Any], key: str, default: str, problems: Problems) -> str:
    value = top.get(key, default)
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or not value.isprintable():
        problems.add(
            (key,), f"{key} is {short(value)}, expected a text of 1 to {MOST_TEXT} characters that can be printed"
        )
        return default
    return value


def _first_size(top: Mapping[str, Any], rows: Sequence[Any], problems: Problems, asked: int | None) -> int | None:
    """Side of the images that the file is written for; None where that is wrong, which is then told."""
    stated = top.get("resolution")
    first = rows[0].get("in_size") if rows and isinstance(rows[0], Mapping) else None
    if stated is None and first is None and asked is not None:
        return asked
    with problems.at(("resolution",)):
        if stated is None and first is None:
            raise InputError("resolution is missing, and so is in_size of the first block: give one of them, in pixels")
        return PIXELS.whole(
            "resolution" if stated is not None else "blocks[0].in_size", first if stated is None else stated
        )
    return None


def _check_keys(content: Mapping[str, Any], at: Key, known: Sequence[str], problems: Problems) -> None:
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(known)}"
            problems.add((*at, key), f"{named((*at, key))} is unknown: {hint}")


def _blocks(rows: Sequence[Any], size: int | None, problems: Problems) -> list[Block]:
    """Those that can be made: all, where there are no problems."""
    found = []
    channels: int | None = 3
    for i, row in enumerate(rows):
        block = _Row(row, ("blocks", i), problems).block(size, channels)
        if block is None:
            # what follows is checked against what this one says of its output, if it says it
            fields_of = row if isinstance(row, Mapping) else {}
            out = fields_of.get("out_channels", channels if fields_of.get("op") in _KEEPING else None)
            channels = out if isinstance(out, int) and not isinstance(out, bool) and out > 0 else None
            size = None
        else:
            found.append(block)
            size, channels = block.out_size, block.out_channels
    return found


class _Row:
    """One entry of a list of blocks."""

    def __init__(self, row: Any, at: Key, problems: Problems) -> None:
        self.at, self.problems = at, problems
        self.row: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
        self.fine = isinstance(row, Mapping)
        if self.fine:
            _check_keys(self.row, at, _BLOCK, problems)
        else:
            problems.add(at, f"{named(at)} is {short(row)}, expected an object with op, out_channels and so on")

    def wrong(self, field: str, words: str) -> None:
        self.fine = False
        self.problems.add((*self.at, field), f"{named((*self.at, field))} {words}")

    def block(self, size: int | None, channels: int | None) -> Block | None:
        """The block that is given so many pixels and channels (None: not known); None where it is wrong."""
        op = self.row.get("op")
        if not self.fine:
            return None
        if op not in list(OPERATORS):
            close = difflib.get_close_matches(str(op), list(OPERATORS), 1)
            known = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(OPERATORS)}"
            self.wrong("op", f"is {short(op)}: {known}")
            return None
        usual = {**_USUAL, **OPERATORS[op].fixed}
        values = {field.name: self._value(field.name, usual) for field in fields(Block)[5:]}
        in_size, inside = self._given("in_size", size, _SIZE), self._given("in_channels", channels, CHANNELS)
        mid = self._mid(op, inside)
        keeps = op in _KEEPING and "out_channels" not in self.row
        out = inside if keeps else self._number("out_channels", CHANNELS)
        if not self.fine or in_size is None or inside is None or mid is None or out is None:
            return None
        try:
            block = Block(op, in_size, inside, mid, out, **values)
            check_block(block)
        except InputError as error:
            self.problems.add(self.at, f"{named(self.at)}: {error}")
            return None
        return block

    def _value(self, field: str, usual: Mapping[str, Any]) -> Any:
        """A field that has a usual value."""
        value = self.row.get(field, usual[field])
        if field in _CHOICES:
            # 3.0 is equal to 3, but no kernel size
            if type(value) not in (int, str) or value not in _CHOICES[field]:
                self.wrong(field, f"is {short(value)}, expected one of {', '.join(map(str, _CHOICES[field]))}")
        elif not isinstance(value, bool):
            self.wrong(field, f"is {short(value)}, expected true or false")
        return value

    def _number(self, field: str, bounds: Bounds) -> int | None:
        try:
            return bounds.whole(named((*self.at, field)), self.row.get(field))
        except InputError as error:
            self.fine = False
            self.problems.add((*self.at, field), str(error))
            return None

    def _given(self, field: str, before: int | None, bounds: Bounds) -> int | None:
        """What the block is given: as the block before says, with which the row must agree."""
        if field not in self.row:
            return before
        stated = self._number(field, bounds)
        if stated is not None and before is not None and stated != before:
            what = "what the image has" if self.at[-1] == 0 else "the output of the block before"
            self.wrong(field, f"is {stated}, but {what} is {before}")
        return stated

    def _mid(self, op: str, inside: int | None) -> int | None:
        """Channels inside: mid_channels, or expand times the input's."""
        if not OPERATORS[op].has_inside:
            for field in ("mid_channels", "expand"):
                if self.row.get(field):
                    self.wrong(field, f"is {short(self.row[field])}, but {op} has no inside")
            return 0
        if "expand" not in self.row:
            return self._number("mid_channels", CHANNELS)
        if "mid_channels" in self.row:
            self.wrong("expand", "is there beside mid_channels: give one of them")
            return None
        try:
            ratio = EXPAND.check(named((*self.at, "expand")), self.row["expand"])
        except InputError as error:
            self.fine = False
            self.problems.add((*self.at, "expand"), str(error))
            return None
        return None if inside is None else max(1, round(inside * ratio))
