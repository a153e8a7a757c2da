"""Which block operators a unit of a description may name, and what a space has to know of each.

What an operator computes is described in `ofa.blocks.operators`, which knows spaces, so that spaces cannot know it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitOperator:
    """name: the value of `Block.op`, in the notation of a description

    squeeze_excite: the values that it has
    without_squeeze_excite: the operator of its layers that choose to have none, if it always has it
    of_output: whether expand ratios are of the output's channels, and a unit's first block has a shortcut of its own,
        as in a bottleneck; else they are of the input's, and a block adds its input where that has its shape
    elastic_width: whether its channels may be elastic
    kernel_sizes: that it may have; 1: no depthwise convolution inside
    start_kernels: of a depthwise convolution at its start, 0 for none, where it may have one: a gene of each layer
    """

    name: str
    squeeze_excite: tuple[bool, ...] = (False, True)
    of_output: bool = False
    elastic_width: bool = False
    kernel_sizes: tuple[int, ...] = (3, 5, 7)
    start_kernels: tuple[int, ...] = (0,)
    without_squeeze_excite: str = ""

    @property
    def squeeze_excites(self) -> tuple[tuple[bool, ...], ...]:
        """The lists of choices that a unit's layers may have."""
        chosen = [(False, True)] if len(self.squeeze_excite) > 1 or self.without_squeeze_excite else []
        return (*((each,) for each in self.squeeze_excite), *chosen)

    def of_block(self, start_kernel: float, squeeze_excite: bool) -> str:
        """`Block.op` with that kernel at its start, with squeeze-and-excite or without."""
        if squeeze_excite not in self.squeeze_excite:
            return self.without_squeeze_excite
        return f"{self.name}{int(start_kernel) or ''}"


UNIT_OPERATORS = {
    operator.name: operator
    for operator in (
        UnitOperator("mbconv"),
        UnitOperator("mbconv_se_in", squeeze_excite=(True,), without_squeeze_excite="mbconv"),
        UnitOperator("bottleneck", squeeze_excite=(False,), of_output=True, elastic_width=True),
        UnitOperator("bottleneck_b", squeeze_excite=(False,), of_output=True, elastic_width=True),
        UnitOperator("uib", squeeze_excite=(False,), kernel_sizes=(1, 3, 5, 7), start_kernels=(0, 3, 5)),
    )
}


def unit_operator(name: str) -> UnitOperator:
    """What is known of it; of one that is not listed, that it is like an inverted residual."""
    return UNIT_OPERATORS.get(name, UnitOperator(name))
