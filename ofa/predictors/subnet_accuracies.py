"""Measured accuracies: the CSV they come in, and the split that keeps the test honest.

One row a measured sub-network, with the columns `resolution, depths, kernel_sizes, expand_ratios, top1`
(and `width_mults` where the space has them); lists are separated by spaces, skipped layers are 0, top1 is
per cent. Other columns are ignored; lines that start with # are comments.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.space import Genes, SearchSpace, get_space

MIN_ROWS = 100
SPLIT_KEY = b"0"
FACTS = "# image_facts: "  # before the JSON in a file's comments
PARTS = ("test", "calibration", "train")


@dataclass(frozen=True)
class SubnetAccuracies:
    """N sub-networks and their accuracy.

    space: the space, with the resolutions of the data
    genes: (N, genes) canonical rows, no two alike
    top1: (N,) per cent
    merged: rows of the file that were averaged into another of the same sub-network
    """

    space: SearchSpace
    genes: Genes
    top1: NDArray[np.float64]
    merged: int = 0

    @property
    def resolutions(self) -> NDArray[np.int64]:
        """(N,) pixels."""
        resolutions: NDArray[np.int64] = np.array(self.space.resolutions)[self.genes[:, 0]]
        return resolutions

    def where(self, rows: NDArray[np.bool_]) -> SubnetAccuracies:
        """The sub-networks that a mask (N,) selects."""
        return SubnetAccuracies(self.space, self.genes[rows], self.top1[rows])


def read_accuracies_csv(paths: Path | Sequence[Path], space_name: str) -> SubnetAccuracies:
    """Reads and checks whole files; InputError names file, line, column and what was expected.

    A sub-network measured more than once, in whichever file, counts once, with the mean accuracy.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    space = get_space(space_name)
    columns = ["resolution", "depths", "expand_ratios", "top1"]
    columns += [f for f in ("kernel_sizes", "width_mults") if space.columns(f).stop > space.columns(f).start]
    rows = [row for path in files for row in _rows(path, columns)]
    path = files[0]
    if len(rows) < MIN_ROWS:
        raise InputError(f"{path}: {len(rows)} rows, at least {MIN_ROWS} are needed to fit and test a predictor")
    space = get_space(space_name, resolutions=sorted({resolution for _, _, resolution in rows}))

    accuracies: dict[bytes, list[float]] = {}
    for place, row, resolution in rows:
        fields = {
            field: [_number(place, field, text, float) for text in row[field].split()]
            for field in ("depths", "kernel_sizes", "expand_ratios", "width_mults")
            if field in columns
        }
        try:
            genes = space.as_genes(space.subnet(**fields, resolution=resolution))  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        top1 = _number(place, "top1", row["top1"], float)
        if not 0 <= top1 <= 100:
            raise InputError(f"{place}: top1 is {row['top1']}, expected per cent, 0 to 100")
        accuracies.setdefault(genes.tobytes(), []).append(top1)
    matrix = np.frombuffer(b"".join(accuracies), dtype=np.uint8).reshape(len(accuracies), space.num_genes)
    means = np.array([np.mean(values) for values in accuracies.values()])
    if means.max() <= 1:
        raise InputError(f"{path}: top1 is at most {means.max():g}: a fraction? expected per cent")
    return SubnetAccuracies(space, matrix, means, merged=len(rows) - len(matrix))


def read_image_facts(paths: Path | Sequence[Path]) -> ImageFacts | None:
    """What files of `ofa.predictors.collect` say of the images behind their figures; None where they say nothing.

    Marks of all files are kept. Raises InputError where two files rest on other classes, or other preprocessing.
    """
    found: ImageFacts | None = None
    first = None
    for path in [paths] if isinstance(paths, Path) else paths:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        stated = next((line.removeprefix(FACTS) for line in lines if line.startswith(FACTS)), None)
        if stated is None:
            continue
        try:
            facts = ImageFacts.from_dict(json.loads(stated), path)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: what it says of its images is damaged: {error}") from None
        if found is not None and (facts.classes, facts.mean, facts.std) != (found.classes, found.mean, found.std):
            what = "classes" if facts.classes != found.classes else "mean and std"
            raise InputError(f"{path} has other {what} than {first}: give files of one supernet and one data set")
        found = facts.marked(*(() if found is None else found.marks))
        first = first or path
    return found


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str], int]]:
    """(place, fields, resolution) of every row of a file that has those columns."""
    lines, numbers = _content(path)
    reader = csv.DictReader(lines)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path}:{numbers[0]}: no column {missing[0]}, expected at least {', '.join(columns)}")
    rows = []
    for row in reader:
        place = f"{path}:{numbers[reader.line_num - 1]}"  # a quoted field may go over several lines
        short = [column for column in columns if row[column] is None]
        if short or None in row:
            raise InputError(f"{place}: {'too few' if short else 'too many'} fields for the header")
        rows.append((place, row, int(_number(place, "resolution", row["resolution"], int))))
    return rows


def _content(path: Path) -> tuple[list[str], list[int]]:
    """The lines that are not blank or comments, and their numbers in the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}") from None
    kept = [(line, n) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not kept:
        raise InputError(f"{path}: empty")
    return [line for line, _ in kept], [n for _, n in kept]


def _number(place: str, column: str, text: str, kind: type[int] | type[float]) -> float | int:
    try:
        value = kind(text)
        if value != value or abs(value) == float("inf"):
            raise ValueError
    except ValueError:
        raise InputError(f"{place}: {column} holds {text!r}, expected a number") from None
    return value


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
    return (row[1:].tobytes() for row in genes)


def _position(architecture: bytes) -> float:
    """In 0 to 1, evenly spread."""
    digest = hashlib.blake2b(architecture, digest_size=8, key=SPLIT_KEY).digest()
    return int.from_bytes(digest, "big") / 2**64


def counts(
    resolutions: NDArray[np.int64], masks: dict[str, NDArray[np.bool_]], known: Sequence[int]
) -> dict[str, dict[str, int]]:
    """How many sub-networks each part holds at each resolution."""
    return {part: {str(r): int((resolutions[masks[part]] == r).sum()) for r in known} for part in PARTS}
