"""Measured accuracies: the CSV they come in, and the split that keeps the test honest.

One row a measured sub-network, with the columns `resolution, depths, kernel_sizes, expand_ratios, top1`
(and `width_mults` where the space has them); lists are separated by spaces, skipped layers are 0, top1 is
per cent. Other columns are ignored; lines that start with # are comments. DyNAS-T's CSV files are read as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.predictors.prediction import stated_dtype
from ofa.reading.csv_text import CsvText, Row, read_csv_text
from ofa.reading.numbers import PERCENT, PIXELS, Bounds, short
from ofa.reading.structured import as_object, parse_json
from ofa.space import Genes, SearchSpace, Subnet, get_space, resolutions_in
from ofa.space.description import DESCRIPTION, HASH, NAME, recorded_space, require_same, space_sha256
from ofa.space.mit_format import subnet_from_text
from ofa.space.subnet import OF_SOME

MIN_ROWS = 100
SPLIT_KEY = b"0"
# what is read of a file's comments
STATED = (NAME, HASH, DESCRIPTION, "checkpoint_sha256", "image_facts", "rows", "dtype")
LOOKS_LIKE = 0.5  # a figure that, times 100, is half the median or more was meant as a fraction
CHOICE = Bounds(0, 1000, "a choice")
_DYNAS_SUBNET, _DYNAS_TOP1 = "Sub-network", "Top-1 Acc (%)"
PARTS = ("test", "calibration", "train")


@dataclass(frozen=True)
class SubnetAccuracies:
    """N sub-networks and their accuracy.

    known: the resolutions of the data, pixels, ascending; a part of it has them too, whether it has such rows or not
    genes: (N, genes) canonical rows, no two alike
    top1: (N,) per cent
    merged: rows of the file that were averaged into another of the same sub-network
    """

    space: SearchSpace
    known: tuple[int, ...]
    genes: Genes
    top1: NDArray[np.float64]
    merged: int = 0

    @property
    def resolutions(self) -> NDArray[np.uint16]:
        """(N,) pixels."""
        pixels: NDArray[np.uint16] = self.genes[:, 0]
        return pixels

    @property
    def groups(self) -> NDArray[np.intp]:
        """(N,) index into `known` of each one's resolution."""
        return np.searchsorted(self.known, self.resolutions)

    def where(self, rows: NDArray[np.bool_]) -> SubnetAccuracies:
        """The sub-networks that a mask (N,) selects."""
        return SubnetAccuracies(self.space, self.known, self.genes[rows], self.top1[rows])


def read_accuracies_csv(
    paths: Path | Sequence[Path], asked: str | SearchSpace | None, least: int | None = None
) -> SubnetAccuracies:
    """Reads and checks whole files; InputError names file, line, column and what was expected.

    asked: the space, its name or the file of its description; None: as the files state

    A sub-network measured more than once, in whichever file, counts once, with the mean accuracy. Files that say that
    they are of another space, or of different checkpoints, are refused; so is one that is given twice.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    texts = {path: read_csv_text(path, "a file of accuracies", header=False, ended=False) for path in files}
    space = _space_of(texts, asked)
    _check_stated(files, texts, space, "the first is of" if asked is None else "--space is")
    rows = [row for path in files for row in _checked_rows(path, texts[path], space)]
    path = files[0]
    least = MIN_ROWS if least is None else least
    if len(rows) < least:
        raise InputError(f"{path}: {len(rows)} rows, at least {least} are needed to fit and test a predictor")
    accuracies: dict[bytes, list[float]] = {}
    lowest, place = math.inf, str(path)
    for row in rows:
        subnet, top1 = _subnet_and_top1(row, space)
        genes = space.as_genes(subnet)
        accuracies.setdefault(genes.tobytes(), []).append(top1)
        if 0 < top1 < lowest:
            lowest, place = top1, row.place
    matrix = np.frombuffer(b"".join(accuracies), dtype=genes.dtype).reshape(len(accuracies), space.num_genes)
    means = np.array([np.mean(values) for values in accuracies.values()])
    if means.max() == 0:
        raise InputError(f"{path}: top1 is 0 in all rows: an accuracy of nothing cannot be predicted")
    if means.max() <= 1 or LOOKS_LIKE * np.median(means) <= 100 * lowest <= 100:
        raise InputError(f"{place}: top1 is {lowest:g}, and {means.max():g} at most: a fraction? expected per cent")
    return SubnetAccuracies(space, resolutions_in(matrix), matrix, means, merged=len(rows) - len(matrix))


def _space_of(texts: Mapping[Path, CsvText], asked: str | SearchSpace | None) -> SearchSpace:
    """The space of that name, also if only a file describes it; without a name, the one that a file states."""
    if isinstance(asked, SearchSpace):
        return asked
    for path, text in texts.items():
        stated = stated_facts(text.comments, path, (NAME, HASH, DESCRIPTION))
        if (asked is None and NAME in stated) or (stated.get(NAME) == asked and DESCRIPTION in stated):
            return recorded_space(stated, path)
    if asked is None:
        raise InputError(f"{next(iter(texts))} does not say which space its sub-networks are of: give --space")
    return get_space(asked)


def _check_stated(files: Sequence[Path], texts: Mapping[Path, CsvText], space: SearchSpace, whose: str) -> None:
    """InputError unless what files say of themselves is true, and fits together. whose: "--space is", of the space"""
    first: dict[str, tuple[Path, Any]] = {}
    for i, path in enumerate(files):
        cells = [row.cells for row in texts[path].rows]
        twice = next((other for other in files[:i] if [row.cells for row in texts[other].rows] == cells), None)
        if twice is not None:
            raise InputError(f"{path} is {twice} again: give every file once")
        facts = stated_facts(texts[path].comments, path)
        if NAME in facts and facts[NAME] != space.name:
            raise InputError(f"{path} is of {short(facts[NAME])}, and {whose} {space.name}")
        if facts.get(HASH, space_sha256(space)) != space_sha256(space):
            require_same(space, recorded_space(facts, path), path)
        if "rows" in facts and facts["rows"] != len(texts[path].rows):
            raise InputError(f"{path} says {short(facts['rows'])} rows, and has {len(texts[path].rows)}: it is cut off")
        dtype = _dtype(facts, path)
        other, known = first.setdefault("dtype", (path, dtype))
        if known != dtype:
            raise InputError(
                f"{path} is of {dtype} networks, {other} of {known}: a predictor is of one type of networks"
            )
        if "checkpoint_sha256" in facts:
            other, known = first.setdefault("checkpoint_sha256", (path, facts["checkpoint_sha256"]))
            if known != facts["checkpoint_sha256"]:
                raise InputError(f"{path} is of another checkpoint than {other}: a predictor is of one supernet")


def stated_facts(comments: Sequence[str], path: Path, keys: Collection[str] = STATED) -> dict[str, Any]:
    """What `# key: JSON` lines of `ofa.predictors.collect` say of these; other comments are passed over."""
    facts = {}
    for line in comments:
        key, colon, value = line.removeprefix("#").strip().partition(": ")
        if colon and key in keys:
            facts[key] = parse_json(value, f"{path}: its line {key}")
    return facts


def read_dtype(paths: Sequence[Path]) -> str:
    """The type of the networks whose accuracies files of `ofa.predictors.collect` hold; float32 where they say none."""
    text = read_csv_text(paths[0], "a file of accuracies", header=False, ended=False)
    return _dtype(stated_facts(text.comments, paths[0]), paths[0])


def _dtype(facts: Mapping[str, Any], path: Path) -> str:
    try:
        return stated_dtype(facts)
    except InputError as error:
        raise InputError(f"{path}: its {error}") from None


def read_image_facts(paths: Path | Sequence[Path]) -> ImageFacts | None:
    """What files of `ofa.predictors.collect` say of the images behind their figures; None where they say nothing.

    Marks of all files are kept. Raises InputError where two files rest on other classes, or other preprocessing.
    """
    found: ImageFacts | None = None
    first = None
    for path in [paths] if isinstance(paths, Path) else paths:
        comments = read_csv_text(path, "a file of accuracies", header=False, ended=False).comments
        stated = stated_facts(comments, path).get("image_facts")
        if stated is None:
            continue
        facts = ImageFacts.from_dict(as_object(stated, f"{path}: its line image_facts"), path)
        if found is not None and (facts.classes, facts.mean, facts.std) != (found.classes, found.mean, found.std):
            what = "classes" if facts.classes != found.classes else "mean and std"
            raise InputError(f"{path} has other {what} than {first}: give files of one supernet and one data set")
        found = facts.marked(*(() if found is None else found.marks))
        first = first or path
    return found


def _checked_rows(path: Path, text: CsvText, space: SearchSpace) -> tuple[Row, ...]:
    """The rows of a file, if it has the columns of ours, or those of DyNAS-T's files."""
    if _DYNAS_SUBNET in text.columns and _DYNAS_TOP1 in text.columns:
        return text.rows
    columns = [*("resolution", "depths", "expand_ratios", "top1"), *_own_lists(space)]
    missing = [column for column in columns if column not in text.columns]
    if missing:
        raise InputError(f"{path}:{text.columns_line}: no column {missing[0]}, expected at least {', '.join(columns)}")
    return text.rows


def _own_lists(space: SearchSpace) -> list[str]:
    """The lists that not every space has."""
    return [field for field in ("kernel_sizes", *OF_SOME) if space.has(field)]


def _subnet_and_top1(row: Row, space: SearchSpace) -> tuple[Subnet, float]:
    """What a row says, checked; InputError names its place."""
    dynas = _DYNAS_SUBNET in row.cells
    top1 = PERCENT.decimal(f"{row.place}: top1", row.cells[_DYNAS_TOP1 if dynas else "top1"])
    try:
        if dynas:
            return subnet_from_text(space, row.cells[_DYNAS_SUBNET]), top1
        resolution = PIXELS.integer("resolution", row.cells["resolution"])
        fields = {
            field: [CHOICE.decimal(field, text) for text in row.cells[field].split()]
            for field in ("depths", "expand_ratios", *_own_lists(space))
        }
        return space.subnet(**fields, resolution=resolution), top1  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{row.place}: {error}") from None


def split(genes: Genes, test: float = 0.15, calibration: float = 0.10) -> dict[str, NDArray[np.bool_]]:
    """Masks (N,) of the parts "test", "calibration" and "train", by a hash of the architecture.

    The same sub-network falls into the same part in every file, at every resolution and for every seed:
    what a predictor is tested on, it never saw at another resolution either.
    """
    position = np.array([_position(row) for row in _architectures(genes)])
    return {
        "test": position < test,
        "calibration": (position >= test) & (position < test + calibration),
        "train": position >= test + calibration,
    }


def _architectures(genes: Genes) -> Iterator[bytes]:
    # a byte a gene, whatever genes are kept in: the hash of a row must not change
    return (row.tobytes() for row in genes[:, 1:].astype(np.uint8))


def _position(architecture: bytes) -> float:
    """In 0 to 1, evenly spread."""
    digest = hashlib.blake2b(architecture, digest_size=8, key=SPLIT_KEY).digest()
    return int.from_bytes(digest, "big") / 2**64


def counts(
    resolutions: NDArray[np.uint16], masks: dict[str, NDArray[np.bool_]], known: Sequence[int]
) -> dict[str, dict[str, int]]:
    """How many sub-networks each part holds at each resolution."""
    return {part: {str(r): int((resolutions[masks[part]] == r).sum()) for r in known} for part in PARTS}
