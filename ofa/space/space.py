"""What a sub-network is: search spaces, sub-networks, and batches of them as integer matrices.

A `SearchSpace` lists the choices of one supernet family (Cai et al. 2020, section 3.2: depth, expand
ratio, kernel size, resolution; Once-for-All's ResNet50D adds width). A `Subnet` is one choice of
each: a frozen value. A batch of N sub-networks is an (N, genes) uint8 matrix of choice indices
("genes"), one row a sub-network, in the column order

    resolution | depths | kernel sizes | expand ratios | width multipliers

so that a million sub-networks are one array. Rows are kept *canonical*: the genes of layers beyond a
unit's depth are 0, so that equal networks have equal rows. In a `Subnet` such skipped layers read 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError

Genes: TypeAlias = NDArray[np.uint8]  # (N, genes) choice indices


@dataclass(frozen=True)
class Subnet:
    """One sub-network. Make it with `SearchSpace.subnet`, which validates.

    kernel_sizes: one per elastic layer, 0 where the layer is skipped (empty for ResNet50D)
    expand_ratios: one per elastic layer, 0 where the layer is skipped
    depths: one per unit (ResNet50D: 2 or 0 for the stem's residual block, then extra blocks a stage)
    resolution: side of the square input image, pixels
    width_mults: ResNet50D only: stem inner, stem outer, then one per stage
    """

    kernel_sizes: tuple[int, ...]
    expand_ratios: tuple[float, ...]
    depths: tuple[int, ...]
    resolution: int
    width_mults: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `SearchSpace.subnet_from_dict` reads it back."""
        fields = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        if not self.width_mults:
            del fields["width_mults"]
        return fields


@dataclass(frozen=True)
class Unit:
    """A run of blocks at one width, the first of which may change size and channels.

    op: "mbconv" or "bottleneck"; "stem" for ResNet50D's elastic stem, which has no elastic layers
    out_channels: one per width multiplier of the space
    base_depth: blocks that are always there, on top of the chosen depth (ResNet50D)
    """

    op: str
    out_channels: tuple[int, ...]
    stride: int
    activation: str
    squeeze_excite: bool
    depth_choices: tuple[int, ...]
    base_depth: int = 0

    @property
    def num_layers(self) -> int:
        """Elastic layers of the unit at its greatest depth."""
        return 0 if self.op == "stem" else self.base_depth + max(self.depth_choices)


@dataclass(frozen=True)
class SearchSpace:
    """The choices of one supernet. Get one by name with `ofa.space.get_space`.

    stem_channels: output channels of the first convolution, one per width multiplier
    first_block_channels: output channels of the fixed first block (0: the family has none)
    head_channels: widths of the layers after the last unit, before the classifier
    """

    name: str
    family: str
    num_classes: int
    resolutions: tuple[int, ...]
    kernel_choices: tuple[int, ...]
    expand_choices: tuple[float, ...]
    width_choices: tuple[float, ...]
    units: tuple[Unit, ...]
    stem_channels: tuple[int, ...]
    first_block_channels: int
    head_channels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.resolutions:
            raise InputError(f"space {self.name}: resolutions is empty")
        for resolution in self.resolutions:
            if not 32 <= resolution <= 1024:
                raise InputError(f"space {self.name}: resolution {resolution} is not within 32 to 1024 pixels")
        if self.num_classes < 1:
            raise InputError(f"space {self.name}: num_classes is {self.num_classes}, expected at least 1")

    # ---- geometry of the gene matrix

    @cached_property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(unit, position in the unit) of every elastic layer, in network order."""
        return tuple((u, j) for u, unit in enumerate(self.units) for j in range(unit.num_layers))

    @cached_property
    def _spans(self) -> dict[str, slice]:
        sizes = {
            "resolution": 1,
            "depths": len(self.units),
            "kernel_sizes": len(self.layers) if self.kernel_choices else 0,
            "expand_ratios": len(self.layers),
            "width_mults": len(self.units) + 1 if len(self.width_choices) > 1 else 0,
        }
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    def columns(self, field: str) -> slice:
        """Gene columns of a `Subnet` field."""
        return self._spans[field]

    @property
    def num_genes(self) -> int:
        return len(self.choices)

    @cached_property
    def choices(self) -> tuple[tuple[float, ...], ...]:
        """The values each gene chooses among, one tuple per column."""
        per_field: list[tuple[float, ...]] = [self.resolutions]
        per_field += [unit.depth_choices for unit in self.units]
        for field, values in (
            ("kernel_sizes", self.kernel_choices),
            ("expand_ratios", self.expand_choices),
            ("width_mults", self.width_choices),
        ):
            span = self._spans[field]
            per_field += [values] * (span.stop - span.start)
        return tuple(per_field)

    @cached_property
    def cardinalities(self) -> NDArray[np.int64]:
        """(genes,) number of choices of each gene."""
        return np.array([len(values) for values in self.choices])

    @cached_property
    def _unit_leaders(self) -> NDArray[np.intp]:
        """(genes,) for each gene of a unit, the column of the unit's depth; for every other gene itself."""
        leaders = np.arange(self.num_genes)
        depths = self.columns("depths").start
        for field in ("kernel_sizes", "expand_ratios"):
            span = self.columns(field)
            # ResNet50D has layers, but no column for a kernel size
            for column, (u, _) in zip(range(span.start, span.stop), self.layers, strict=span.stop > span.start):
                leaders[column] = depths + u
        return leaders

    def alive(self, genes: Genes) -> NDArray[np.bool_]:
        """(N, layers): whether each elastic layer is within its unit's depth."""
        depth_genes = genes[:, self.columns("depths")]
        alive = np.empty((len(genes), len(self.layers)), dtype=bool)
        for i, (u, j) in enumerate(self.layers):
            unit = self.units[u]
            keeps = np.array([j < unit.base_depth + depth for depth in unit.depth_choices])
            alive[:, i] = keeps[depth_genes[:, u]]
        return alive

    def canonical(self, genes: Genes) -> Genes:
        """A copy with the genes of skipped layers set to 0: equal networks have equal rows."""
        genes = genes.copy()
        alive = self.alive(genes)
        for field in ("kernel_sizes", "expand_ratios"):
            span = self.columns(field)
            if span.stop > span.start:
                genes[:, span] *= alive
        return genes

    def count(self, *, resolutions: bool = False) -> int:
        """How many different sub-networks there are, exactly (times the resolutions if asked).

        MobileNetV3: (9^2 + 9^3 + 9^4)^5 = 2.176e19 (Cai et al. 2020, section 3.2).
        """
        per_layer = max(1, len(self.kernel_choices)) * len(self.expand_choices)
        widths = self._spans["width_mults"]
        total: int = len(self.width_choices) ** (widths.stop - widths.start)
        for unit in self.units:
            if unit.op == "stem":
                total *= len(unit.depth_choices)
            else:
                total *= sum(per_layer ** (unit.base_depth + depth) for depth in unit.depth_choices)
        return total * (len(self.resolutions) if resolutions else 1)

    # ---- random batches

    def sample(self, rng: np.random.Generator, n: int, *, resolutions: Iterable[int] | None = None) -> Genes:
        """n random sub-networks, (n, genes): every choice uniform and independent, as the paper samples.

        Not uniform over networks: those at full depth are by far the most. `resolutions` restricts the draw.
        """
        genes = rng.integers(0, self.cardinalities, size=(n, self.num_genes)).astype(np.uint8)
        if resolutions is not None:
            genes[:, 0] = rng.choice(self.resolution_genes(resolutions), size=n)
        return self.canonical(genes)

    def mutate(self, genes: Genes, rng: np.random.Generator, probability: float = 0.1) -> Genes:
        """A mutated copy: every gene is redrawn with the given probability."""
        fresh = rng.integers(0, self.cardinalities, size=genes.shape).astype(np.uint8)
        return self.canonical(np.where(rng.random(genes.shape) < probability, fresh, genes))

    def crossover(self, first: Genes, second: Genes, rng: np.random.Generator) -> Genes:
        """Children of two equally long batches: from either parent with equal chance, half of the
        children gene by gene, the others unit by unit (a unit's depth and layers stay together)."""
        take = rng.random(first.shape) < 0.5
        by_unit = rng.random(len(first)) < 0.5
        take[by_unit] = take[by_unit][:, self._unit_leaders]
        return self.canonical(np.where(take, first, second))

    def resolution_genes(self, resolutions: Iterable[int]) -> Genes:
        """Choice indices of the given resolutions; InputError names one that the space lacks."""
        return np.array([self._index("resolution", r, self.resolutions) for r in resolutions], dtype=np.uint8)

    # ---- values and rows

    def subnet(
        self,
        kernel_sizes: Sequence[int] | None = None,
        expand_ratios: Sequence[float] = (),
        depths: Sequence[int] = (),
        resolution: int = 224,
        width_mults: Sequence[float] = (),
    ) -> Subnet:
        """The validated, canonical sub-network; InputError names the field and position that is wrong.

        Skipped layers may hold any choice or 0; they read 0 in the result.
        """
        given = {
            "resolution": [resolution],
            "depths": depths,
            "kernel_sizes": () if kernel_sizes is None else kernel_sizes,
            "expand_ratios": expand_ratios,
            "width_mults": width_mults,
        }
        row = np.zeros((1, self.num_genes), dtype=np.uint8)
        alive: NDArray[np.bool_] | None = None
        for field, values in given.items():
            span = self.columns(field)
            expected = span.stop - span.start
            if isinstance(values, (str, Mapping)) or not isinstance(values, (Sequence, np.ndarray)):
                raise InputError(f"{field} is {values!r}, expected a list of {expected} for {self.name}")
            if len(values) != expected:
                raise InputError(f"{field} has {len(values)} values, expected {expected} for {self.name}")
            if field == "kernel_sizes":
                alive = self.alive(row)
            for i, value in enumerate(values):
                label = field if field == "resolution" else f"{field}[{i}]"
                skipped = field in ("kernel_sizes", "expand_ratios") and alive is not None and not alive[0, i]
                if not (skipped and value == 0):
                    row[0, span.start + i] = self._index(label, value, self.choices[span.start + i])
        return self.decode(self.canonical(row))[0]

    def _index(self, label: str, value: Any, allowed: Sequence[float]) -> int:
        if not isinstance(value, bool):
            for i, choice in enumerate(allowed):
                if value == choice:
                    return i
        shown = ", ".join(map(str, allowed)) if len(allowed) < 8 else f"{allowed[0]}, {allowed[1]} ... {allowed[-1]}"
        raise InputError(f"{label} is {value!r}, expected one of {shown} ({self.name})")

    def encode(self, subnets: Sequence[Subnet]) -> Genes:
        """(N, genes) of N sub-networks, validated."""
        genes = np.zeros((len(subnets), self.num_genes), dtype=np.uint8)
        lookup = [{value: i for i, value in enumerate(values)} for values in self.choices]
        for n, subnet in enumerate(subnets):
            values = (subnet.resolution, *subnet.depths, *subnet.kernel_sizes, *subnet.expand_ratios)
            values += subnet.width_mults
            # 0 marks a skipped layer; the round trip below refuses it anywhere else
            # a sub-network of another space has another number of values: refused below, by field
            row = [table.get(v, 0 if v == 0 else -1) for table, v in zip(lookup, values, strict=False)]
            if len(values) != self.num_genes or -1 in row or self.decode(np.array([row], np.uint8))[0] != subnet:
                self.subnet_from_dict(subnet.to_dict())  # raises, naming the field
                raise InputError(f"{subnet} is not a canonical sub-network of {self.name}: make it with space.subnet")
            genes[n] = row
        return genes

    def decode(self, genes: Genes) -> list[Subnet]:
        """The sub-networks of a gene matrix."""
        alive = self.alive(genes)
        subnets = []
        for row, keeps in zip(genes.tolist(), alive.tolist(), strict=True):
            values = [choices[i] for choices, i in zip(self.choices, row, strict=True)]
            kernels = values[self.columns("kernel_sizes")]
            expands = values[self.columns("expand_ratios")]
            subnets.append(
                Subnet(
                    # ResNet50D has layers, but no kernel sizes
                    kernel_sizes=tuple(int(k) if keep else 0 for k, keep in zip(kernels, keeps, strict=bool(kernels))),
                    expand_ratios=tuple(e if keep else 0 for e, keep in zip(expands, keeps, strict=True)),
                    depths=tuple(int(d) for d in values[self.columns("depths")]),
                    resolution=int(values[0]),
                    width_mults=tuple(values[self.columns("width_mults")]),
                )
            )
        return subnets

    def as_genes(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Genes:
        """A canonical gene matrix from one sub-network, several, or a matrix (checked for shape and range)."""
        if isinstance(subnets, Subnet):
            return self.encode([subnets])
        if not isinstance(subnets, np.ndarray):
            return self.encode(subnets)
        if subnets.ndim != 2 or subnets.shape[1] != self.num_genes or not np.issubdtype(subnets.dtype, np.integer):
            raise InputError(
                f"sub-networks of {self.name} are an integer matrix of shape (N, {self.num_genes}), "
                f"got {subnets.dtype} of shape {subnets.shape}"
            )
        if len(subnets) and ((subnets.max(axis=0) >= self.cardinalities).any() or subnets.min() < 0):
            column = int(np.argmax((subnets.max(axis=0) >= self.cardinalities) | (subnets.min(axis=0) < 0)))
            raise InputError(f"gene column {column} holds a choice that {self.name} does not have")
        return self.canonical(subnets.astype(np.uint8, copy=False))

    def subnet_from_dict(self, fields: Mapping[str, Any]) -> Subnet:
        """Reads `Subnet.to_dict()` (the form in `result.json`) back, validating."""
        known = ("kernel_sizes", "expand_ratios", "depths", "resolution", "width_mults")
        extra = sorted(set(fields) - set(known))
        missing = sorted({"expand_ratios", "depths", "resolution"} - set(fields))
        if extra or missing:
            raise InputError(f"sub-network: unknown fields {extra}, missing fields {missing}; expected {list(known)}")
        return self.subnet(**fields)
