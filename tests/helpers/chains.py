"""Chains of blocks that are cut into parts, and the weights of such parts."""

from typing import Any

from ofa.blocks import Block
from ofa.graph import RandomWeights

CHAIN = (
    Block("mbconv", 14, 8, 24, 8, 3, 1, "relu", False, True),
    Block("mbconv", 14, 8, 48, 16, 5, 2, "h_swish", True, False),
    Block("mbconv", 7, 16, 64, 16, 3, 1, "h_swish", True, True),
)


class SameByShape:
    """Weights that a block has wherever it stands."""

    def __call__(self, _: str, shape: tuple[int, ...], bias: bool) -> Any:
        return RandomWeights(1)("", shape, bias)
