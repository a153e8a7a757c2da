"""The cheapest and the dearest sub-network, exactly.

A cost that adds up over blocks is a sum of factors, each over the few genes that its slot depends on. Such
a sum is minimised without enumerating 10^19 sub-networks by eliminating one gene at a time (min-sum
variable elimination, Bertele and Brioschi 1972): the factors that hold the gene are added up, the best
choice of the gene is noted for every value of its neighbours, and the remaining table replaces them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.index import BlockIndex
from ofa.space import Genes


def cheapest(index: BlockIndex, costs: NDArray[np.float64]) -> tuple[Genes, float]:
    """The sub-network with the least total of `costs`, (U,) one per distinct block: (1, genes), and that total.

    It has one of the index's resolutions. The dearest is `cheapest(index, -costs)`. Costs must be finite.
    """
    sizes = [len(values) for values in index.gene_values]
    factors = [
        (columns, table.reshape([sizes[c] for c in columns]))
        for columns, table in zip(index.columns, index.per_slot(costs), strict=True)
    ]
    decisions: list[tuple[int, tuple[int, ...], NDArray[np.intp]]] = []
    remaining = {column for columns, _ in factors for column in columns}
    while remaining:
        scopes = {column: {c for columns, _ in factors if column in columns for c in columns} for column in remaining}
        # the gene whose elimination makes the smallest table; ties by position, for a repeatable answer
        column = min(remaining, key=lambda c: (math.prod(sizes[s] for s in scopes[c]), c))
        remaining.remove(column)
        scope = (*sorted(scopes[column] - {column}), column)
        combined = sum(_spread(columns, table, scope) for columns, table in factors if column in columns)
        decisions.append((column, scope[:-1], np.argmin(combined, axis=-1)))
        factors = [factor for factor in factors if column not in factor[0]]
        factors.append((scope[:-1], np.min(combined, axis=-1)))
    chosen = [0] * len(sizes)  # of every gene, the position among its values
    for column, scope, best in reversed(decisions):
        chosen[column] = int(best[tuple(chosen[c] for c in scope)])
    row = np.array([[values[i] for values, i in zip(index.gene_values, chosen, strict=True)]], dtype=np.uint16)
    return index.space.canonical(row), float(sum(table for _, table in factors))


def _spread(columns: tuple[int, ...], table: NDArray[np.float64], scope: tuple[int, ...]) -> Any:
    """The factor with its axes in the order of `scope`, length 1 where it does not depend on a gene."""
    order = sorted(range(len(columns)), key=lambda axis: scope.index(columns[axis]))
    shape = [table.shape[columns.index(c)] if c in columns else 1 for c in scope]
    return table.transpose(order).reshape(shape)
