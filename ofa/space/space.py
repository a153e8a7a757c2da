"""What a sub-network is: search spaces, sub-networks, and batches of them as integer matrices.

A `SearchSpace` lists the choices of one supernet family (Cai et al. 2020, section 3.2: depth, expand
ratio, kernel size; Once-for-All's ResNet50D adds width). A `Subnet` is one choice of each and a resolution,
any from 32 to 1024 pixels: a frozen value. A batch of N sub-networks is an (N, genes) uint16 matrix
("genes"), one row a sub-network, in the column order

    resolution | depths | kernel sizes | expand ratios | width multipliers | start kernels | squeeze-and-excites

so that a million sub-networks are one array. Column 0 holds pixels; every other the index of a choice.
Rows are kept *canonical*: the genes of layers beyond a unit's depth are 0, so that equal networks have
equal rows. In a `Subnet` such skipped layers read 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.reading.numbers import cut, short
from ofa.space.parts import SpaceDescription
from ofa.space.resolutions import (
    LEAST_RESOLUTION,
    MOST_RESOLUTION,
    RESOLUTIONS,
    checked_resolution,
    checked_resolutions,
)
from ofa.space.subnet import OF_SOME, Subnet

Genes: TypeAlias = NDArray[np.uint16]  # (N, genes): the resolution in pixels, then choice indices
MOST_CHOICES = 255  # a gene: a choice fits into a byte, wherever a row is packed into bytes, and 255 is none
# fields of a gene for each elastic layer
OF_LAYERS = ("kernel_sizes", "expand_ratios", "start_kernels", "squeeze_excites")
_CHUNK = 1 << 16  # rows at a time: what is made on the way to a batch stays small beside it


@dataclass(frozen=True)
class SearchSpace(SpaceDescription):
    """The choices of one supernet. Get one by its name, or by the file of its description, with `ofa.space.get_space`.

    As a value it is its description; here it is that of sub-networks too, one or a million.
    """

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise InputError(f"space {self.name}: num_classes is {self.num_classes}, expected at least 1")
        if (most := max(map(len, self.choices))) > MOST_CHOICES:
            raise InputError(f"space {self.name}: a gene has {most} choices, expected at most {MOST_CHOICES}")

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
            "start_kernels": len(self.layers) if self.start_choices else 0,
            "squeeze_excites": len(self.layers) if self.squeeze_excite_choices else 0,
        }
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    def columns(self, field: str) -> slice:
        """Gene columns of a `Subnet` field."""
        return self._spans[field]

    def has(self, field: str) -> bool:
        """Whether there are genes of a `Subnet` field."""
        span = self._spans[field]
        return bool(span.stop > span.start)

    @property
    def num_genes(self) -> int:
        return len(self.choices)

    @cached_property
    def choices(self) -> tuple[tuple[float, ...], ...]:
        """The values each gene chooses among, one tuple per column; empty for the resolution, which is no choice."""
        per_field: list[tuple[float, ...]] = [()]
        per_field += [unit.depth_choices for unit in self.units]
        if self.kernel_choices:
            per_field += [self.units[u].kernel_sizes for u, _ in self.layers]
        per_field += [self.units[u].expand_ratios for u, _ in self.layers]
        widths = self._spans["width_mults"]
        per_field += [self.width_choices] * (widths.stop - widths.start)
        if self.start_choices:
            per_field += [self.units[u].start_kernels for u, _ in self.layers]
        if self.squeeze_excite_choices:
            per_field += [self.units[u].squeeze_excites for u, _ in self.layers]
        return tuple(per_field)

    @cached_property
    def cardinalities(self) -> NDArray[np.int64]:
        """(genes,) number of choices of each gene; 0 for the resolution, which is no choice."""
        return np.array([len(values) for values in self.choices])

    @cached_property
    def _unit_leaders(self) -> NDArray[np.intp]:
        """(genes,) for each gene of a unit, the column of the unit's depth; for every other gene itself."""
        leaders = np.arange(self.num_genes)
        depths = self.columns("depths").start
        for field in OF_LAYERS:
            span = self.columns(field)
            # ResNet50D has layers, but no column for a kernel size
            for column, (u, _) in zip(range(span.start, span.stop), self.layers, strict=span.stop > span.start):
                leaders[column] = depths + u
        return leaders

    def alive(self, genes: Genes) -> NDArray[np.bool_]:
        """(N, layers): whether each elastic layer is within its unit's depth."""
        alive = np.empty((len(genes), len(self.layers)), dtype=bool)
        first = self.columns("depths").start
        lengths = [
            np.array([unit.base_depth + depth for depth in unit.depth_choices])[genes[:, first + u]]
            for u, unit in enumerate(self.units)
        ]
        for i, (u, j) in enumerate(self.layers):
            np.greater(lengths[u], j, out=alive[:, i])
        return alive

    def canonical(self, genes: Genes) -> Genes:
        """A copy with the genes of skipped layers set to 0: equal networks have equal rows."""
        genes = genes.copy()
        self._blank_skipped(genes)
        return genes

    def _blank_skipped(self, genes: Genes) -> None:
        """In place: the genes of skipped layers become 0."""
        alive = self.alive(genes)
        for field in OF_LAYERS:
            if self.has(field):
                genes[:, self.columns(field)] *= alive

    def count(self, *, resolutions: int | Iterable[int] = 1) -> int:
        """How many different sub-networks there are, exactly, times the resolutions: so many, or those listed.

        MobileNetV3: (9^2 + 9^3 + 9^4)^5 = 2.176e19 (Cai et al. 2020, section 3.2).
        """
        widths = self._spans["width_mults"]
        total: int = len(self.width_choices) ** (widths.stop - widths.start)
        total *= math.prod(unit.configurations for unit in self.units)
        return total * (resolutions if isinstance(resolutions, int) else len(checked_resolutions(resolutions)))

    # ---- random batches

    def sample(self, rng: np.random.Generator, n: int, *, resolutions: Iterable[int] = RESOLUTIONS) -> Genes:
        """n random sub-networks, (n, genes): every choice uniform and independent, as the paper samples.

        The resolution is one of those listed. Not uniform over networks: those at full depth are by far the most.
        """
        genes = self._drawn(rng, n, resolutions)
        for start in range(0, n, _CHUNK):
            self._blank_skipped(genes[start : start + _CHUNK])
        return genes

    def sample_leaning(
        self, rng: np.random.Generator, lean: NDArray[np.float64], resolutions: NDArray[np.uint16]
    ) -> Genes:
        """(n, genes) sub-networks of (n,) resolutions whose choices are about (n,) shares of the way to the largest.

        0 gives the smallest sub-network, 1 the largest. Where every choice is drawn for itself (`sample`), hardly any
        is near either end, which is where searches go.
        """
        genes = np.empty((len(lean), self.num_genes), dtype=np.uint16)
        genes[:, 0] = resolutions
        genes[:, 1:] = rng.binomial(self.cardinalities[1:] - 1, lean[:, None])
        return self.canonical(genes)

    def mutate(
        self, genes: Genes, rng: np.random.Generator, probability: float = 0.1, *, resolutions: Iterable[int]
    ) -> Genes:
        """A mutated copy: every gene is redrawn with the given probability, the resolution from those listed."""
        fresh = self._drawn(rng, len(genes), resolutions)
        return self.canonical(np.where(rng.random(genes.shape) < probability, fresh, genes))

    def _drawn(self, rng: np.random.Generator, n: int, resolutions: Iterable[int]) -> Genes:
        """(n, genes), not canonical; 8 bytes a gene are drawn, a chunk at a time, as one draw would."""
        pixels = np.array(checked_resolutions(resolutions), dtype=np.uint16)
        choices = np.concatenate([[len(pixels)], self.cardinalities[1:]])
        genes = np.empty((n, self.num_genes), dtype=np.uint16)
        for start in range(0, n, _CHUNK):
            part = genes[start : start + _CHUNK]
            part[:] = rng.integers(0, choices, size=part.shape)
            part[:, 0] = pixels[part[:, 0]]
        return genes

    def crossover(self, first: Genes, second: Genes, rng: np.random.Generator) -> Genes:
        """Children of two equally long batches: from either parent with equal chance, half of the
        children gene by gene, the others unit by unit (a unit's depth and layers stay together)."""
        take = rng.random(first.shape) < 0.5
        by_unit = rng.random(len(first)) < 0.5
        take[by_unit] = take[by_unit][:, self._unit_leaders]
        return self.canonical(np.where(take, first, second))

    # ---- values and rows

    def subnet(
        self,
        kernel_sizes: Sequence[int] | None = None,
        expand_ratios: Sequence[float] = (),
        depths: Sequence[int] = (),
        resolution: int = 224,
        width_mults: Sequence[float] = (),
        start_kernels: Sequence[int] = (),
        squeeze_excites: Sequence[int] = (),
    ) -> Subnet:
        """The validated, canonical sub-network; InputError names the field and position that is wrong.

        Skipped layers may hold any choice or 0; they read 0 in the result.
        """
        given = {
            "depths": depths,
            "kernel_sizes": () if kernel_sizes is None else kernel_sizes,
            "expand_ratios": expand_ratios,
            "width_mults": width_mults,
            "start_kernels": start_kernels,
            "squeeze_excites": squeeze_excites,
        }
        row = np.zeros((1, self.num_genes), dtype=np.uint16)
        row[0, 0] = checked_resolution(resolution)
        alive: NDArray[np.bool_] | None = None
        for field, values in given.items():
            span = self.columns(field)
            expected = span.stop - span.start
            if isinstance(values, (str, Mapping)) or not isinstance(values, (Sequence, np.ndarray)):
                raise InputError(f"{field} is {short(values)}, expected a list of {expected} for {self.name}")
            if len(values) != expected:
                raise InputError(f"{field} has {len(values)} values, expected {expected} for {self.name}")
            if field == "kernel_sizes":
                alive = self.alive(row)
            for i, value in enumerate(values):
                skipped = field in OF_LAYERS and alive is not None and not alive[0, i]
                if not (skipped and value == 0):
                    row[0, span.start + i] = self._index(f"{field}[{i}]", value, self.choices[span.start + i])
        return self.decode(self.canonical(row))[0]

    def _index(self, label: str, value: Any, allowed: Sequence[float]) -> int:
        if not isinstance(value, bool):
            for i, choice in enumerate(allowed):
                if value == choice:
                    return i
        shown = ", ".join(map(str, allowed)) if len(allowed) < 8 else f"{allowed[0]}, {allowed[1]} ... {allowed[-1]}"
        raise InputError(f"{label} is {short(value)}, expected one of {shown} ({self.name})")

    def encode(self, subnets: Sequence[Subnet]) -> Genes:
        """(N, genes) of N sub-networks, validated."""
        genes = np.zeros((len(subnets), self.num_genes), dtype=np.uint16)
        lookup = [{value: i for i, value in enumerate(values)} for values in self.choices]
        lookup[0] = {pixels: pixels for pixels in range(LEAST_RESOLUTION, MOST_RESOLUTION + 1)}
        for n, subnet in enumerate(subnets):
            values = (subnet.resolution, *subnet.depths, *subnet.kernel_sizes, *subnet.expand_ratios)
            values += (*subnet.width_mults, *subnet.start_kernels, *subnet.squeeze_excites)
            # 0 marks a skipped layer; the round trip below refuses it anywhere else
            # a sub-network of another space has another number of values: refused below, by field
            row = [table.get(v, 0 if v == 0 else -1) for table, v in zip(lookup, values, strict=False)]
            if len(values) != self.num_genes or -1 in row or self.decode(np.array([row], np.uint16))[0] != subnet:
                self.subnet_from_dict(subnet.to_dict())  # raises, naming the field
                raise InputError(f"{subnet} is not a canonical sub-network of {self.name}: make it with space.subnet")
            genes[n] = row
        return genes

    def decode(self, genes: Genes) -> list[Subnet]:
        """The sub-networks of a gene matrix."""
        alive = self.alive(genes)
        # what not every space with layers has: ResNet50D has no kernel sizes, few have the others
        spans = {f: self.columns(f) for f in ("kernel_sizes", "start_kernels", "squeeze_excites") if self.has(f)}
        subnets = []
        for row, keeps in zip(genes.tolist(), alive.tolist(), strict=True):
            # column 0 is no choice
            values = [0.0, *(choices[i] for choices, i in zip(self.choices[1:], row[1:], strict=True))]
            expands = values[self.columns("expand_ratios")]
            of_layers = {
                field: tuple(int(value) if keep else 0 for value, keep in zip(values[span], keeps, strict=True))
                for field, span in spans.items()
            }
            subnets.append(
                Subnet(
                    kernel_sizes=of_layers.get("kernel_sizes", ()),
                    expand_ratios=tuple(e if keep else 0 for e, keep in zip(expands, keeps, strict=True)),
                    depths=tuple(int(d) for d in values[self.columns("depths")]),
                    resolution=row[0],
                    width_mults=tuple(values[self.columns("width_mults")]),
                    start_kernels=of_layers.get("start_kernels", ()),
                    squeeze_excites=of_layers.get("squeeze_excites", ()),
                )
            )
        return subnets

    def as_genes(self, subnets: Subnet | Sequence[Subnet] | NDArray[np.integer[Any]]) -> Genes:
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
        if len(subnets):
            least, most = subnets.min(axis=0), subnets.max(axis=0)
            for pixels in (int(least[0]), int(most[0])):
                checked_resolution(pixels)
            wrong = (most >= self.cardinalities) | (least < 0)
            wrong[0] = False
            if wrong.any():
                raise InputError(f"gene column {int(np.argmax(wrong))} holds a choice that {self.name} does not have")
        return self.canonical(subnets.astype(np.uint16, copy=False))

    def subnet_from_dict(self, fields: Mapping[str, Any]) -> Subnet:
        """Reads `Subnet.to_dict()` (the form in `result.json`) back, validating."""
        known = ("kernel_sizes", "expand_ratios", "depths", "resolution", *OF_SOME)
        extra = sorted(set(fields) - set(known))
        missing = sorted({"expand_ratios", "depths", "resolution"} - set(fields))
        if extra or missing:
            wrong = (("unknown", extra), ("missing", missing))
            words = "; ".join(f"{what} fields: {cut(', '.join(some), 60)}" for what, some in wrong if some)
            raise InputError(f"sub-network: {words}; expected {', '.join(known)}")
        return self.subnet(**fields)


def resolutions_in(genes: Genes) -> tuple[int, ...]:
    """The resolutions of the sub-networks of a gene matrix, each once, ascending, pixels."""
    return tuple(np.flatnonzero(np.bincount(genes[:, 0])).tolist())
