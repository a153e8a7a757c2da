"""More terms of a cost model than eleven, and the constant of an inference, of blocks and whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block
from ofa.blocks.terms import MORE_TERMS, TERMS, more_terms

Floats = NDArray[np.float64]


def more_terms_of(blocks: Iterable[Block]) -> Floats:
    """(N, terms) of N blocks."""
    return np.array([more_terms(block) for block in blocks]).reshape(-1, len(MORE_TERMS))


def terms_of_networks(networks: Sequence[Sequence[Block]]) -> Floats:
    """(N, terms) of N whole networks, each a list of blocks."""
    numbers: dict[Block, int] = {}
    rows = [np.array([numbers.setdefault(block, len(numbers)) for block in blocks], np.intp) for blocks in networks]
    of_blocks = more_terms_of(numbers)
    result = np.array([of_blocks[row].sum(axis=0) for row in rows]).reshape(-1, len(MORE_TERMS))
    result[:, -1] = 1.0
    return result


def eleven(terms: Floats) -> Floats:
    """(N, 11) as `ofa.blocks.terms.TERMS` count, of (N, terms) as `MORE_TERMS` do."""
    found = terms[:, : len(TERMS)].copy()
    found[:, TERMS.index("dense")] += terms[:, MORE_TERMS.index("dense_thin")]
    return found
