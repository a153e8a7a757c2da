"""What is known of other devices, as cost models: their measured tables, and lists of networks that were timed on them.

`--from all` takes every table that comes with the project and was measured, here or by others, and every list. A list
is one source for each of its settings. Estimated tables are no sources of a combination: all are images of a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.terms import MORE_TERMS
from ofa.errors import InputError
from ofa.reading.csv_text import read_csv_text
from ofa.reading.kinds import TIMES, kind_of
from ofa.reading.numbers import cut, short
from ofa.tables import LatencyTable, find_table
from ofa.tables.shipped import shipped_folder, shipped_tables
from profilers.estimating.cost_model import fit_blocks, more_terms_of, terms_of_networks
from profilers.estimating.timed_networks import TimedNetworks, read_timed

Floats = NDArray[np.float64]

ALL = "all"
# settings of the shipped lists that are not much the same as another
LISTS = {
    "phone-cnns": tuple(
        f"{phone}_{setting}_ms"
        for phone, settings in (
            ("pixel4", ("1large_float", "1small_float", "gpu_float", "1large_quant", "1small_quant")),
            ("s10", ("1large_float", "1small_float", "gpu_float", "1large_quant", "1small_quant")),
            ("mi8se", ("1large_float", "1small_float", "gpu_float", "1large_quant", "1small_quant")),
            ("iphone7", ("1large_float", "gpu_float", "1large_quant")),
        )
        for setting in settings
    ),
    "dpus": ("zcu102_ms", "vck190_ms"),
}
_FEWEST = 10  # networks of a list that is to be a source
_MOST = 400  # networks of a list that are looked at
# what networks multiply with: a source that has none of a kind says nothing of it
_KINDS = {
    "pointwise": ("pointwise",),
    "dense": ("dense_wide", "dense_thin"),
    "depthwise3": ("depthwise3",),
    "depthwise5": ("depthwise5",),
    "depthwise7": ("depthwise7",),
}
# a source that does not know the first takes the second: convolutions of many channels are products of matrices too
_ALIKE_TERMS = [
    (MORE_TERMS.index(unknown), MORE_TERMS.index(alike))
    for unknown, alike in (("dense_wide", "pointwise"), ("dense_thin", "dense_wide"))
]
_MUCH = 0.02  # of the networks' MACs
_SAME, _ALIKE = 3, 1e-3  # so many networks whose latencies are so much alike are of one list


@dataclass(frozen=True, eq=False)
class Source:
    """name: of a table, or "list:column"; weights_ms: (terms,); knows: (terms,) which terms its blocks have

    own_figures: in words, where its latencies are the target's own, so that no error shows
    """

    name: str
    weights_ms: Floats
    knows: NDArray[np.bool_]
    own_figures: str = ""


def open_sources(
    asked: Sequence[str], networks: Path | None = None, column: str | None = None, timed: TimedNetworks | None = None
) -> list[Source]:
    """Those of `--from`: names or files of tables, "list.csv:column", or "all". InputError for what is none.

    networks, column: the target's own, which are no source: `all` leaves them out. None: the file's only column
    timed: what they say: a list that has the same figures, or all of them times a factor, is named
    """
    own = None if networks is None else networks.resolve()
    every = list(asked) == [ALL]
    if every:
        names = [name for name, path in shipped_tables().items() if LatencyTable.load(path).provenance != "estimated"]
        folder = shipped_folder() / "networks"
        names += [f"{folder / name}.csv:{column}" for name, columns in LISTS.items() for column in columns]
    else:
        names = list(asked)
        if ALL in names:
            raise InputError(f"--from {','.join(names)}: {ALL} has every measured table already: leave out the others")
        if "" in names:
            raise InputError(f"--from {','.join(names)}: a name is empty: write names with one comma between two")
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"--from names {short(twice[0])} twice")
    found = []
    for name in names:
        path, colon, of = name.rpartition(":")
        if not colon or not path.endswith(".csv"):
            found.append(_of_table(name))
            continue
        if not every and of not in (columns := _latency_columns(Path(path))):
            known = cut(", ".join(columns), 120)
            raise InputError(f"--from {name}: {path} has no column {short(of)}, expected one of {known}")
        if Path(path).resolve() == own and column in (None, of):
            if not every:
                raise InputError(f"--from names {short(name)}, which are the networks themselves: no error would show")
        elif timed is not None and (factor := same_figures(timed, _read_list(Path(path).resolve(), of))) is not None:
            if not every:
                times = "" if factor == 1 else f" times {factor:.4g}"
                own_figures = f"{short(f'{Path(path).name}:{of}')} has these networks' own latencies{times}"
                found.append(replace(_of_list(Path(path), of), own_figures=own_figures))
        else:
            found.append(_of_list(Path(path), of))
    return found


def able(sources: Sequence[Source], terms: Floats) -> list[Source]:
    """The sources that can price N networks, (N, terms); InputError names what the others lack where none can."""
    work = {kind: sum(float(terms[:, MORE_TERMS.index(name)].sum()) for name in of) for kind, of in _KINDS.items()}
    needed = [kind for kind, macs in work.items() if macs > _MUCH * sum(work.values())]
    lacking = {}
    for source in sources:
        lacks = [kind for kind in needed if not any(source.knows[MORE_TERMS.index(name)] for name in _KINDS[kind])]
        if lacks:
            lacking[source.name] = lacks
    usable = [source for source in sources if source.name not in lacking]
    if not usable:
        name, kinds = next(iter(lacking.items()))
        raise InputError(
            f"{name} cannot price these networks: it has no {' and no '.join(kinds)} convolutions: name a table of a "
            "space like theirs with --from"
        )
    return usable


def refuse_lists(name: str) -> None:
    """InputError where a list of networks is named as a table would be, without the column of a device."""
    path = Path(name)
    if kind_of(path) != TIMES:
        return
    column = _latency_columns(path)[0]
    raise InputError(f"--from {name} is {TIMES}: name the column of a device too, such as --from {name}:{column}")


def _latency_columns(path: Path) -> list[str]:
    """Of a list of networks; InputError where it has none."""
    text = read_csv_text(path, TIMES, ended=False)
    columns = [column for column in text.columns if column.endswith("_ms")]
    if not columns:
        raise InputError(f"{path}:{text.columns_line}: no column of latencies, expected one such as latency_ms")
    return columns


def _of_table(name: str) -> Source:
    refuse_lists(name)
    table = LatencyTable.load(find_table(name))
    if table.provenance == "estimated":
        raise InputError(
            f"{name} is estimated itself: a combination rests on measured tables. As the only source it is taken: "
            f"--from {name}"
        )
    return of_table(name, table)


def of_table(name: str, table: LatencyTable) -> Source:
    """A cost model of a table's blocks."""
    terms = more_terms_of(row.block for row in table.rows)
    latency_ms = np.array([row.latency_ms for row in table.rows])
    return Source(name, *_fitted(terms, latency_ms))


def same_figures(timed: TimedNetworks, other: TimedNetworks) -> float | None:
    """The factor by which a list has the latencies of networks that were timed; None where it has others.

    Of at least three networks, or of all that were timed: no two devices are proportional within a tenth of a per cent.
    """
    theirs = dict(zip(other.blocks, other.latency_ms.tolist(), strict=True))
    ours = zip(timed.blocks, timed.latency_ms.tolist(), strict=True)
    shared = [(theirs[blocks], ms) for blocks, ms in ours if blocks in theirs]
    if len(shared) < min(_SAME, max(2, len(timed.blocks))):
        return None
    ratios = np.array([there / here for there, here in shared])
    factor = float(np.median(ratios))
    if not (np.abs(ratios / factor - 1) <= _ALIKE).all():
        return None
    return 1.0 if abs(factor - 1) <= _ALIKE else factor


def _of_list(path: Path, column: str) -> Source:
    return _fitted_list(path.resolve(), column)


@lru_cache(maxsize=64)
def _read_list(path: Path, column: str) -> TimedNetworks:
    return read_timed(path, column)


@lru_cache(maxsize=64)
def _fitted_list(path: Path, column: str) -> Source:
    timed = _read_list(path, column)
    if len(timed.blocks) < _FEWEST:
        raise InputError(f"{path}: {len(timed.blocks)} networks, a source has at least {_FEWEST}")
    rows = np.linspace(0, len(timed.blocks) - 1, min(_MOST, len(timed.blocks))).astype(int)
    terms = terms_of_networks([timed.blocks[i] for i in rows])
    return Source(f"{path.stem}:{column.removesuffix('_ms')}", *_fitted(terms, timed.latency_ms[rows]))


def _fitted(terms: Floats, latency_ms: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    knows = terms.max(axis=0) > 0
    weights = np.zeros(terms.shape[1])
    weights[knows] = fit_blocks(terms[:, knows], latency_ms)
    for unknown, alike in _ALIKE_TERMS:
        if not knows[unknown]:
            weights[unknown] = weights[alike]
    return weights, knows
