"""Blocks: the typed keys of everything that is measured, and which of them a sub-network is made of.

A network is a sequence of *slots* (positions). Which block stands in a slot depends on a few genes:
the layer's own kernel size and expand ratio, say, and on the resolution. `slots_of(space)` lists for
every slot each block it can hold; profilers measure those, and `BlockIndex` turns the same list, at
some resolutions, into index arrays, so that anything that adds up over blocks (latency, MACs, parameters) is a table
look-up for a million sub-networks at once.
"""

from ofa.blocks.block import ACTIVATIONS, BLOCK_FIELDS, Block, at_size, block_row
from ofa.blocks.index import BlockIndex, all_blocks, block_index, blocks_of, blocks_of_all, index_of
from ofa.blocks.operators import OPERATORS, steps_of
from ofa.blocks.slots import Slot, slots_of

__all__ = [
    "ACTIVATIONS",
    "BLOCK_FIELDS",
    "OPERATORS",
    "Block",
    "BlockIndex",
    "Slot",
    "all_blocks",
    "at_size",
    "block_index",
    "block_row",
    "blocks_of",
    "blocks_of_all",
    "index_of",
    "slots_of",
    "steps_of",
]
