"""From gene rows to the features an accuracy predictor reads: one-hot choices, zeros for skipped layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.space import Genes, SearchSpace
from ofa.space.resolutions import MOST_RESOLUTION, checked_resolution
from ofa.space.space import MOST_CHOICES, OF_LAYERS

Rows: TypeAlias = NDArray[np.uint8]  # (N, genes): genes in bytes, the first an index into the known resolutions
LATER_FIELDS = ("start_kernels", "squeeze_excites")  # earlier files do not name them
FIELDS = ("kernel_sizes", "expand_ratios", "width_mults", "stem_depth", "resolution", *LATER_FIELDS)
_SKIPPED = MOST_CHOICES  # marks the gene of a skipped layer: no choice has this index


class FeatureEncoder:
    """One-hot features of the sub-networks of a space, at some resolutions.

    Fields, in the order asked for: one feature a choice of every kernel size, expand ratio, width multiplier, start
    kernel and squeeze-and-excite, of the depth of a unit without elastic layers (ResNet50D's stem), and of the
    resolutions that the predictor knows. The depth of other units shows in which layers are all zero.

    order: the fields; those that the space does not have take no features
    resolutions: those that the predictor knows, ascending, pixels
    num_features: columns of the result
    """

    def __init__(self, space: SearchSpace, resolutions: Sequence[int], order: Sequence[str] = FIELDS) -> None:
        order = (*order, *(field for field in LATER_FIELDS if field not in order))
        if sorted(order) != sorted(FIELDS):
            raise InputError(f"feature order is {', '.join(order)}, expected the fields {', '.join(FIELDS)}")
        if len(resolutions) > MOST_CHOICES:
            raise InputError(f"{len(resolutions)} resolutions, a predictor knows at most {MOST_CHOICES}")
        self.space, self.order = space, order
        self.resolutions = tuple(checked_resolution(r) for r in resolutions)
        self._known = np.full(MOST_RESOLUTION + 1, -1, dtype=np.int16)  # of pixels, the index into `resolutions`
        self._known[list(self.resolutions)] = range(len(self.resolutions))
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

    def known(self, genes: Genes) -> NDArray[np.uint8]:
        """(N,) index into `resolutions` of each row's; InputError names one that is not known."""
        known: NDArray[np.int16] = self._known[genes[:, 0]]
        if len(known) and known.min() < 0:
            raise InputError(
                f"resolution {genes[np.argmin(known), 0]} is not among {', '.join(map(str, self.resolutions))}"
            )
        return known.astype(np.uint8)

    def mark_skipped(self, genes: Genes) -> Rows:
        """Canonical rows in bytes, in which the genes of skipped layers match no choice; column 0 is for `one_hot`."""
        marked = np.zeros(genes.shape, dtype=np.uint8)
        marked[:, 1:] = genes[:, 1:]  # a space has no choice that a byte cannot hold
        dead = ~self.space.alive(genes)
        for field in OF_LAYERS:
            if self.space.has(field):
                marked[:, self.space.columns(field)][dead] = _SKIPPED
        return marked

    def one_hot(self, marked: Rows, known: NDArray[np.uint8]) -> NDArray[np.bool_]:
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
        return self.one_hot(self.mark_skipped(genes), self.known(genes)).astype(np.float32)

    def genes(self, features: NDArray[np.float32]) -> Genes:
        """(N, genes) back from (N, features): the inverse of `training_features`."""
        genes = np.zeros((len(features), self.space.num_genes), dtype=np.uint16)
        lit = features > 0.5
        for f in range(self.num_features):
            genes[lit[:, f], self._column[f]] = self._value[f]
        genes[:, 0] = np.array(self.resolutions)[genes[:, 0]]
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
