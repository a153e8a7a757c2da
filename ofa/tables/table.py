"""Latency lookup tables: what each block takes on one device, and so what any sub-network takes.

A table is a CSV file (`pandas.read_csv(path, comment="#")` reads it): `# key: value` header lines that
say where it comes from, then one row a block. A sub-network's latency is the sum over its blocks
(Cai et al. 2020, section 3.3). Blocks at an unmeasured size are interpolated between the measured sizes on
both sides (`ofa.tables.interpolation`); what rests on that says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BLOCK_FIELDS, Block, BlockIndex, block_index, block_row, index_of
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, Genes, SearchSpace, Subnet
from ofa.space.header_lines import space_in
from ofa.space.resolutions import LEAST_RESOLUTION, MOST_RESOLUTION
from ofa.tables.csv_format import columns_of, read_csv, write_csv
from ofa.tables.header import ERROR, ERROR_MS, ERROR_SUMS, OF_SUMS, PINNED, KnownRange, check_header, omitted
from ofa.tables.interpolation import Interpolation
from ofa.tables.lookup import Coverage, LatencyLookup
from ofa.tables.margin import MARGIN, SUSTAINED, Margins, SustainedFactor
from ofa.tables.row import TableRow
from ofa.tables.sum_correction import SumCorrection
from ofa.tables.uncertainty import UNCERTAINTY, LatencyUncertainty

if TYPE_CHECKING:
    import pandas as pd

_KEPT_LOOKUPS = 64  # of different spaces and resolutions


class LatencyTable:
    """Block latencies of one device. `load` reads a CSV file, `save` writes it.

    header: the `# key: value` facts; "device", "runtime", "provenance" (measured, estimated or imported),
        "space" (names, comma-separated) and "source" (what the figures rest on) must be there
    rows: one per block, each block once
    """

    def __init__(self, header: Mapping[str, str], rows: Sequence[TableRow], path: Path | None = None) -> None:
        self.header = {key: str(value) for key, value in header.items() if key not in ("schema", "rows")}
        self.rows = tuple(rows)
        self.path = path
        name = str(path) if path else "latency table"
        check_header(name, self.header)
        self.sum_correction = SumCorrection.parse(self.header.get("sum_correction", "scale=1"), name)
        self.margins = Margins.parse(self.header, name)
        self.sustained = SustainedFactor.parse(self.header, name)
        self.uncertainty = LatencyUncertainty.parse(self.header, name)
        self._known_range = KnownRange.parse(self.header, name)
        seen: set[Block] = set()
        for row in self.rows:
            if row.block in seen:
                raise InputError(f"{name}: block {row.block} appears twice")
            seen.add(row.block)
        if not self.rows:
            raise InputError(f"{name}: no rows")
        if self.timing != "in place" and any(row.warm_ms is not None for row in self.rows):
            raise InputError(
                f"{name}: rows have warm_ms, as those of blocks that were timed in place, but the header has no line "
                "'# timing: in place': put that line back"
            )
        self._lookups: dict[BlockIndex, LatencyLookup] = {}

    @property
    def uncorrected(self) -> LatencyTable:
        """The same rows, whose sums are plain but for the device's constant, and of which no error is known."""
        kept = {
            k: t
            for k, t in self.header.items()
            if k not in OF_SUMS and not k.startswith((MARGIN, SUSTAINED, UNCERTAINTY))
        }
        if constant := self.sum_correction.constant:
            kept["sum_correction"] = str(SumCorrection(constant=constant))
        return LatencyTable(kept, self.rows)

    @cached_property
    def sums(self) -> str:
        """Identity of what its sums rest on: blocks and latencies, in whatever order, and the correction.

        What whole networks said of a table (its expected error, its margins) holds for these sums alone.
        """
        rows = sorted(" ".join(map(str, (*block_row(row.block), float(row.latency_ms)))) for row in self.rows)
        *terms, head, constant = astuple(self.sum_correction)
        if head != 1 or constant:  # without them, the identity is that of tables from before there were any
            terms += [head, constant] if constant else [head]
        correction = " ".join(str(float(term)) for term in terms)
        return hashlib.sha256("\n".join([correction, *rows]).encode()).hexdigest()[:16]

    def with_error(self, text: str, of_ms: tuple[float, float] | None = None) -> LatencyTable:
        """The table with what is known of the error of its sums, which holds for these sums alone.

        of_ms: from which to which latency, ms, the sums were compared with whole networks
        """
        kept = {key: value for key, value in self.header.items() if key != ERROR_MS}
        ends = {} if of_ms is None else {ERROR_MS: f"{of_ms[0]:.4g} to {of_ms[1]:.4g}"}
        return LatencyTable({**kept, ERROR: text, **ends, ERROR_SUMS: self.sums}, self.rows, self.path)

    def with_sustained(self, found: SustainedFactor) -> LatencyTable:
        """The table with how much a network slowed that ran for minutes."""
        kept = {key: text for key, text in self.header.items() if not key.startswith(SUSTAINED)}
        return LatencyTable({**kept, **found.to_header()}, self.rows, self.path)

    def with_uncertainty(self, found: LatencyUncertainty) -> LatencyTable:
        """The table with what is known of its error, network by network, which holds for these sums alone."""
        kept = {key: text for key, text in self.header.items() if not key.startswith(UNCERTAINTY)}
        held = replace(found, sums=found.identity(self.sums))
        return LatencyTable({**kept, **held.to_header()}, self.rows, self.path)

    @cached_property
    def deviations_changed(self) -> bool:
        """Whether rows, correction or directions are others than those that its uncertainty was found with."""
        found = self.uncertainty
        return found is not None and found.sums != found.identity(self.sums)

    @property
    def expected_error(self) -> str | None:
        """What is known of the error of its sums, in words; None where nothing is: also where they were changed since.

        Where the header does not say of which sums it is, neither does this, and says so.
        """
        text = self.header.get(ERROR)
        if not text or self.changed:
            return None
        if ERROR_SUMS in self.header or text.startswith("not known"):
            return text
        return f"{text} (the header does not record of which rows)"

    @property
    def known_range(self) -> KnownRange | None:
        """Of which networks its expected error is known; None where nobody told, or rows were changed since."""
        return self._known_range if self.expected_error else None

    @property
    def changed(self) -> bool:
        """Whether rows or correction are others than those that its expected error was found with."""
        return ERROR_SUMS in self.header and self.header[ERROR_SUMS] != self.sums

    @property
    def provenance(self) -> str:
        return self.header["provenance"]

    @property
    def emulated(self) -> bool:
        """Whether it was measured on an emulated device: its latencies mean nothing."""
        return self.header.get("emulated", "no") != "no"

    @property
    def pinned(self) -> bool:
        """Whether it was measured on CPUs that the process was pinned to, as far as it says."""
        return self.header.get(PINNED) != "no"

    @property
    def timing(self) -> str:
        """How its blocks were timed: "in place", in networks, or "warm", each alone; "warm" where it does not say."""
        return self.header.get("timing", "warm")

    @property
    def device(self) -> str:
        return self.header["device"]

    @property
    def batch(self) -> int:
        """How many images, at once, its latencies and energies are for; 1 where the header does not say."""
        return int(self.header.get("batch", "1"))

    @property
    def omits(self) -> tuple[str, ...]:
        """Ops that an imported table's source never listed: they count 0 ms, and whoever shows a latency says so."""
        return omitted(self.header)

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of the spaces it was made for."""
        return tuple(name.strip() for name in self.header["space"].split(","))

    def space(self, asked: str | None = None, num_classes: int | None = None) -> SearchSpace:
        """A space that it is of, or any other one, by its name or a description's file.

        asked: None for the only one that it is of; num_classes: None for the table's
        InputError where it is unknown, described otherwise in the table, or one of several.
        """
        if asked is None and len(self.spaces) != 1:
            raise InputError(f"{self.path} names the spaces {', '.join(self.spaces)}: choose with --space")
        classes = self.num_classes if num_classes is None else num_classes
        return space_in(self.header, self.path or "latency table", asked or self.spaces[0], classes)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Those that the header lists, pixels: a hint at what was measured, `coverage` tells for sure."""
        listed = (r.strip() for r in self.header.get("resolutions", "").split(","))
        plain = [int(r) for r in listed if r.isascii() and r.isdecimal() and len(r) <= 4]
        return tuple(r for r in plain if LEAST_RESOLUTION <= r <= MOST_RESOLUTION)

    @property
    def num_classes(self) -> int:
        """Of the classifier that it lists; 1000, ImageNet's, where it lists none or several."""
        return self.stated_classes or 1000

    @property
    def stated_classes(self) -> int | None:
        """Of the classifier that it lists; None where it lists none or several."""
        listed = {row.block.out_channels for row in self.rows if row.block.op == "linear"}
        return listed.pop() if len(listed) == 1 else None

    # ---- files

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """Reads and checks a table; InputError names file:line:column of the first fault."""
        path = Path(path)
        return cls(*read_csv(path), path)

    def save(self, path: str | Path) -> None:
        """Writes the CSV, to a temporary file that is then renamed: never half a table."""
        write_csv(Path(path), self.header, self.rows)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, one column a field."""
        import pandas as pd

        columns = columns_of(self.rows)
        rest = columns[len(BLOCK_FIELDS) :]
        return pd.DataFrame(
            [(*block_row(row.block), *(getattr(row, c) for c in rest)) for row in self.rows], columns=columns
        )

    # ---- queries

    def lookup(self, space: SearchSpace, resolutions: Iterable[int] = RESOLUTIONS) -> LatencyLookup:
        """The table compiled to index arrays for a space at those resolutions, made once."""
        return self._lookup(block_index(space, resolutions))

    def _lookup(self, index: BlockIndex) -> LatencyLookup:
        if index not in self._lookups:
            if len(self._lookups) == _KEPT_LOOKUPS:
                del self._lookups[next(iter(self._lookups))]
            self._lookups[index] = LatencyLookup(self, index)
        return self._lookups[index]

    def latency_ms(self, space: SearchSpace, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(N,) milliseconds: the sum of each sub-network's blocks, with `sum_correction`.

        InputError names blocks that the table neither holds nor can interpolate. `LatencyLookup.interpolated`
        tells which of the N rest on interpolated blocks.
        """
        genes = space.as_genes(subnets)
        return self._lookup(index_of(space, genes)).latency_ms(genes)

    def energy_mj(self, space: SearchSpace, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(N,) millijoules: the sum of each sub-network's blocks, which no correction is known for.

        InputError where blocks have no energy in the table.
        """
        genes = space.as_genes(subnets)
        return self._lookup(index_of(space, genes)).energy_mj(genes)

    def coverage(self, space: SearchSpace, resolutions: Iterable[int] | None = None) -> Coverage:
        """Which of the resolutions the table covers of a space, and which blocks are missing for the others.

        resolutions: by default the usual ones, and those that the header lists
        """
        return self.lookup(space, {*RESOLUTIONS, *self.resolutions} if resolutions is None else resolutions).coverage

    @cached_property
    def interpolation(self) -> Interpolation:
        """What the table's rows say of blocks at other sizes."""
        return Interpolation({row.block: row.latency_ms for row in self.rows})

    @cached_property
    def interpolation_error_pct(self) -> float | None:
        """Mean absolute error of interpolating one block, in per cent: see `Interpolation.error_pct`."""
        return self.interpolation.error_pct()
