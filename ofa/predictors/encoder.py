"""From gene rows to the features an accuracy predictor reads: one-hot choices, zeros for skipped layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.space import Genes, SearchSpace

FIELDS = ("kernel_sizes", "expand_ratios", "width_mults", "stem_depth", "resolution")
_SKIPPED = 255  # marks the gene of a skipped layer: no choice has this index


class FeatureEncoder:
    """One-hot features of the sub-networks of a space.

    Fields, in the order asked for: one feature a choice of every kernel size, expand ratio and width
    multiplier, of the depth of a unit without elastic layers (ResNet50D's stem), and of the resolutions
    that the predictor knows. The depth of other units shows in which layers are all zero.

    order: the fields; those that the space does not have take no features
    resolutions: those that the predictor knows, ascending, pixels
    num_features: columns of the result
    """

    def __init__(self, space: SearchSpace, resolutions: Sequence[int], order: Sequence[str] = FIELDS) -> None:
        if sorted(order) != sorted(FIELDS):
            raise InputError(f"feature order is {list(order)}, expected the fields {', '.join(FIELDS)}")
        self.space, self.resolutions, self.order = space, tuple(resolutions), tuple(order)
        columns: list[int] = []
        values: list[int] = []
        for field in order:
            for column in self._columns(field):
                choices = len(self.resolutions) if column == 0 else len(space.choices[column])
                columns += [column] * choices
                values += range(choices)
        self._column = np.array(columns)  # (features,) gene that a feature looks at
        self._value = np.array(values, dtype=np.uint8)  # (features,) the choice it stands for

    def _columns(self, field: str) -> Sequence[int]:
        if field == "stem_depth":
            first = self.space.columns("depths").start
            return [first + u for u, unit in enumerate(self.space.units) if unit.num_layers == 0]
        span = self.space.columns(field)
        return range(span.start, span.stop)

    @property
    def num_features(self) -> int:
        return len(self._column)

    def mark_skipped(self, genes: Genes) -> Genes:
        """A copy of canonical rows in which the genes of skipped layers match no choice."""
        marked = genes.copy()
        dead = ~self.space.alive(genes)
        for field in ("kernel_sizes", "expand_ratios"):
            span = self.space.columns(field)
            if span.stop > span.start:
                marked[:, span][dead] = _SKIPPED
        return marked

    def one_hot(self, marked: Genes, known: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(N, features) of N rows from `mark_skipped`, at the given indices (N,) into `resolutions`."""
        marked[:, 0] = known
        one_hot: NDArray[np.bool_] = marked[:, self._column] == self._value
        return one_hot

    def features(self, genes: Genes, resolution: int) -> NDArray[np.float32]:
        """(N, features) of N canonical rows, all taken at one resolution that is known, pixels."""
        known = np.full(len(genes), self.resolutions.index(resolution), dtype=np.uint8)
        return self.one_hot(self.mark_skipped(genes), known).astype(np.float32)

    def training_features(self, genes: Genes) -> NDArray[np.float32]:
        """(N, features) of N canonical rows, each at its own resolution; InputError where that is not known."""
        used = set(np.unique(genes[:, 0]).tolist())
        known = np.zeros(len(self.space.resolutions), dtype=np.uint8)
        for i in used:
            if self.space.resolutions[i] not in self.resolutions:
                raise InputError(f"resolution {self.space.resolutions[i]} is not among {list(self.resolutions)}")
            known[i] = self.resolutions.index(self.space.resolutions[i])
        return self.one_hot(self.mark_skipped(genes), known[genes[:, 0]]).astype(np.float32)

    def genes(self, features: NDArray[np.float32]) -> Genes:
        """(N, genes) back from (N, features): the inverse of `training_features`."""
        genes = np.zeros((len(features), self.space.num_genes), dtype=np.uint8)
        lit = features > 0.5
        for f in range(self.num_features):
            genes[lit[:, f], self._column[f]] = self._value[f]
        positions = {r: i for i, r in enumerate(self.space.resolutions)}
        to_space = np.array([positions.get(r, 0) for r in self.resolutions], dtype=np.uint8)
        genes[:, 0] = to_space[genes[:, 0]]
        expands = self.space.columns("expand_ratios").start
        depth_column = self.space.columns("depths").start
        for u, unit in enumerate(self.space.units):
            layers = [i for i, (owner, _) in enumerate(self.space.layers) if owner == u]
            if layers:
                layer_columns = [expands + i for i in layers]
                alive = lit[:, np.isin(self._column, layer_columns)].sum(axis=1)
                depths = np.array([unit.base_depth + depth for depth in unit.depth_choices])
                genes[:, depth_column + u] = np.argmax(alive[:, None] == depths, axis=1)
        return genes
