"""Block: the typed key of everything that is measured."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

from ofa.blocks.operators import OPERATORS
from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.space import make_divisible

ACTIVATIONS = ("none", "relu", "relu6", "h_swish", "swish")


@dataclass(frozen=True, order=True)
class Block:
    """One measurable block; two blocks that a device runs alike are equal.

    op: one of `OPERATORS`, which say what it computes
    in_size: side of the square input feature map, pixels
    mid_channels: channels inside, 0 for an operator that has no inside
    kernel_size: 1 where the op has no kernel; padding is kernel_size // 2 on every side
    skip: whether the block's input is added to its output
    """

    op: str
    in_size: int
    in_channels: int
    mid_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    activation: str
    squeeze_excite: bool
    skip: bool

    def __post_init__(self) -> None:
        for field, allowed in (
            ("op", OPERATORS),
            ("kernel_size", (1, 3, 5, 7)),
            ("stride", (1, 2)),
            ("activation", ACTIVATIONS),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(f"{field} is {short(value)}, expected one of {', '.join(map(str, allowed))}")
        has_inside = OPERATORS[self.op].has_inside
        for field, least in (("in_size", 1), ("in_channels", 1), ("out_channels", 1), ("mid_channels", has_inside)):
            if getattr(self, field) < least:
                raise InputError(f"{field} is {getattr(self, field)}, expected at least {int(least)} for {self.op}")
        if not has_inside and self.mid_channels:
            raise InputError(f"mid_channels is {self.mid_channels}, expected 0 for {self.op}")
        groups = OPERATORS[self.op].groups
        for field in ("in_channels", "mid_channels", "out_channels"):
            if getattr(self, field) % groups:
                raise InputError(f"{field} is {getattr(self, field)}, expected a multiple of {groups} for {self.op}")
        if self.skip and (self.stride != 1 or self.in_channels != self.out_channels):
            raise InputError("skip is 1, but a block that changes size or channels cannot add its input")

    @property
    def out_size(self) -> int:
        """Side of the output feature map, pixels."""
        if OPERATORS[self.op].one_pixel:
            return 1
        return -(-self.in_size // self.stride)

    @property
    def se_channels(self) -> int:
        """Hidden channels of squeeze-and-excite."""
        return make_divisible(self.mid_channels // 4) if self.squeeze_excite else 0

    def __str__(self) -> str:
        inside = f">{self.mid_channels}" if self.mid_channels else ""
        size = f"{self.in_size}x{self.in_size}x{self.in_channels}{inside}>{self.out_channels}"
        marks = [mark for mark, there in (("se", self.squeeze_excite), ("skip", self.skip)) if there]
        return " ".join([self.op, size, f"k{self.kernel_size}", f"s{self.stride}", self.activation, *marks])


BLOCK_FIELDS = tuple(field.name for field in fields(Block))
_values_of = attrgetter(*BLOCK_FIELDS)


@lru_cache(maxsize=1 << 16)  # spaces are of a few hundred blocks at dozens of sizes, each asked for again and again
def at_size(block: Block, in_size: int) -> Block:
    """The same block on a map of another side, pixels."""
    return replace(block, in_size=in_size)


def block_row(block: Block) -> tuple[Any, ...]:
    """The block's fields in CSV order: booleans as 0 and 1."""
    return tuple(int(value) if isinstance(value, bool) else value for value in _values_of(block))
