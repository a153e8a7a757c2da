"""A latency table compiled for a space: what every block of it adds to a network, and what the table lacks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, BlockIndex
from ofa.blocks.extremes import cheapest
from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.space import Genes
from ofa.tables.interpolation import Interpolation
from ofa.tables.row import TableRow
from ofa.tables.sum_correction import SumCorrection

_UNKNOWN_MS = 1e9


NAMED = 5  # of missing blocks, in a message


class BlockLatencies(Protocol):
    """What a look-up needs to know of a table; a `LatencyTable` is one."""

    @property
    def path(self) -> Path | None: ...
    @property
    def device(self) -> str: ...
    @property
    def header(self) -> Mapping[str, str]: ...
    @property
    def rows(self) -> tuple[TableRow, ...]: ...
    @property
    def omits(self) -> tuple[str, ...]: ...
    @property
    def interpolation(self) -> Interpolation: ...
    @property
    def sum_correction(self) -> SumCorrection: ...


@dataclass(frozen=True)
class Coverage:
    """What a table knows of a space, at the resolutions asked about.

    complete: resolutions at which every block of the space was measured
    interpolated: resolutions at which some blocks are interpolated from other sizes, none is missing
    missing: the blocks that stand in the way, for every other resolution
    """

    complete: tuple[int, ...]
    interpolated: tuple[int, ...]
    missing: Mapping[int, tuple[Block, ...]]


class LatencyLookup:
    """A table as arrays over the distinct blocks of a space at some resolutions.

    index: those blocks
    block_ms: (U,) what each of them adds to a network, corrected; NaN if not known
    block_interpolated: (U,) whether that figure is interpolated from other sizes
    """

    def __init__(self, table: BlockLatencies, index: BlockIndex) -> None:
        self.table, self.index, self.space = table, index, index.space
        known = {row.block: row.latency_ms for row in table.rows}
        self._omitted = np.array([block.op in table.omits and block not in known for block in self.index.blocks])
        alone, self.block_interpolated = table.interpolation.values(self.index.blocks)
        self.block_ms = table.sum_correction.apply(self.index.blocks, alone)
        self.block_ms[self._omitted] = 0.0
        self.block_interpolated &= ~self._omitted
        self._check_sums()

    def _check_sums(self) -> None:
        """InputError where a correction, which may take something off a block, leaves nothing of a network."""
        if not (self.block_ms <= 0).any():
            return
        # a network with blocks that are not known is not the fastest: whoever asks for it is told
        fastest, latency_ms = cheapest(self.index, np.where(np.isnan(self.block_ms), _UNKNOWN_MS, self.block_ms))
        if latency_ms <= 0:
            raise InputError(
                f"{self._name}: its sum_correction makes a network of {self.space.name} at {fastest[0, 0]} px take "
                f"{latency_ms:.3g} ms: it is of another table, or was fitted on too few networks"
            )

    @cached_property
    def block_ns(self) -> NDArray[np.float64]:
        """(U,) `block_ms` rounded up to whole nanoseconds; NaN if not known.

        Sums of those are exact in any order, and never less than the sums of what was measured.
        """
        whole: NDArray[np.float64] = np.ceil(np.round(self.block_ms * 1e6, 3))
        return whole

    @cached_property
    def block_energy_mj(self) -> NDArray[np.float64]:
        """(U,) millijoules of each block of the index, interpolated like latencies; NaN if not known."""
        known = {row.block: row.energy_mj for row in self.table.rows if row.energy_mj is not None}
        energy, _ = Interpolation(known).values(self.index.blocks)
        energy[self._omitted] = 0.0
        return energy

    def energy_mj(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) millijoules of a canonical gene matrix; InputError names a block whose energy is not known."""
        energy = self.index.total(genes, self.block_energy_mj)
        unknown = np.flatnonzero(np.isnan(energy))
        if len(unknown):
            used = self.index.block_numbers(genes[unknown[:1]])[0]
            self._refuse_energy([n for n in used if n < len(self.block_ms) and math.isnan(self.block_energy_mj[n])])
        return energy

    def require_energy(self) -> None:
        """InputError, naming a block, unless the energy of every block of the space is known."""
        if len(lacking := np.flatnonzero(np.isnan(self.block_energy_mj))):
            self._refuse_energy(lacking)

    def _refuse_energy(self, lacking: Sequence[int] | NDArray[np.intp]) -> NoReturn:
        raise InputError(
            f"{self._name} has no energy_mj for {len(lacking)} blocks that are needed, such as "
            f"{self.index.blocks[lacking[0]]}: measure them with --energy on a device that counts it "
            "(python -m profilers.gpu; python -m profilers.cpu where RAPL can be read), or estimate them from a "
            "phone's battery (python -m profilers.energy)"
        )

    def latency_ms(self, genes: Genes) -> NDArray[np.float64]:
        """(N,) milliseconds of a canonical gene matrix; InputError names missing blocks."""
        latency = self.index.total(genes, self.block_ms)
        unknown = np.flatnonzero(np.isnan(latency))
        if len(unknown):
            numbers = self.index.block_numbers(genes[unknown[:1]])[0]
            missing = [self.index.blocks[n] for n in numbers if n < len(self.block_ms) and math.isnan(self.block_ms[n])]
            raise InputError(
                f"{self._name}: {len(unknown)} of {len(genes)} sub-networks have blocks that the table lacks, "
                f"such as {missing[0]}{self.remedy(int(genes[unknown[0], 0]))}"
            )
        return latency

    def interpolated(self, genes: Genes) -> NDArray[np.bool_]:
        """(N,) whether each latency rests on an interpolated block."""
        return self.index.peak(genes, self.block_interpolated.astype(np.int8)).astype(bool)

    @cached_property
    def coverage(self) -> Coverage:
        complete, interpolated, missing = [], [], {}
        for resolution in self.index.resolutions:
            used = self.index.numbers_at(resolution)
            lacking = tuple(self.index.blocks[u] for u in used if math.isnan(self.block_ms[u]))
            if lacking:
                missing[resolution] = lacking
            elif self.block_interpolated[used].any():
                interpolated.append(resolution)
            else:
                complete.append(resolution)
        return Coverage(tuple(complete), tuple(interpolated), missing)

    def require(self, resolutions: Iterable[int]) -> None:
        """InputError, naming blocks and the command that measures them, unless every resolution is covered.

        resolutions: some of the index's
        """
        for resolution in resolutions:
            if lacking := self.coverage.missing.get(resolution):
                shown = ", ".join(str(block) for block in lacking[:NAMED])
                more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
                raise InputError(
                    f"{self._name} lacks {len(lacking)} of the blocks of {self.space.name} at {resolution} px, "
                    f"and cannot interpolate them: {shown}{more}{self.remedy(resolution)}"
                )

    def remedy(self, resolution: int) -> str:
        """The command that measures what is missing, as the end of an error message."""
        space, stated = self.space, self.table.header.get("dtype")
        classes = [] if space.num_classes == 1000 else ["--num-classes", str(space.num_classes)]
        dtype = ["--dtype", stated] if stated in ("int8", "bf16", "fp16") else []
        rest = [*classes, *dtype, "--resolutions", str(resolution), "--out", "measured.csv"]
        named = space.argument
        if named is not None and (named != space.stated_file or Path(named).is_file()):
            measure = spelled("profilers.cpu", "--space", named, *rest)
            return f"; measure them on the device, for this CPU: {measure}"
        if self.table.path is not None and self.table.header["space"] == space.name:
            printed = f" ({spelled('ofa.spaces', self.table.path, '--toml')} prints that)"
        else:
            printed = ""
        measure = spelled("profilers.cpu", *rest, "--space", "FILE")
        return f"; measure them on the device, for this CPU: {measure}, where FILE describes {space.name}{printed}"

    @property
    def _name(self) -> str:
        return str(self.table.path or f"the table of {self.table.device}")


@dataclass(frozen=True, eq=False)
class BlockSum:
    """Of N blocks, one after the other.

    block_ms: (N,) what each adds, with the correction of the table's sums; NaN if the table does not know
    interpolated: (N,) whether that figure is interpolated from other sizes
    omitted: (N,) whether it is of those that the table's source does not list, which count 0
    """

    blocks: tuple[Block, ...]
    block_ms: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    omitted: NDArray[np.bool_]

    @cached_property
    def missing(self) -> tuple[Block, ...]:
        """Those that the table neither holds nor can interpolate, each once."""
        unknown = zip(self.blocks, np.isnan(self.block_ms), strict=True)
        return tuple(dict.fromkeys(block for block, is_unknown in unknown if is_unknown))

    @property
    def latency_ms(self) -> float | None:
        """The sum; None where blocks are missing."""
        return None if self.missing else float(self.block_ms.sum())


def sum_of_blocks(table: BlockLatencies, blocks: Sequence[Block]) -> BlockSum:
    """What the table says of these blocks, in this order; equal blocks count as often as they are there."""
    alone, interpolated = table.interpolation.values(blocks)
    block_ms = table.sum_correction.apply(blocks, alone)
    known = {row.block for row in table.rows}
    omitted = np.array([block.op in table.omits and block not in known for block in blocks])
    block_ms[omitted] = 0.0
    return BlockSum(tuple(blocks), block_ms, interpolated & ~omitted, omitted)
