"""Labels from a CSV file beside images that lie in no class folders."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ofa.errors import InputError
from ofa.images.files.listing import File, LeftOut, Parts
from ofa.images.files.names import composed, shown
from ofa.images.pixels.decoding import SUFFIXES
from ofa.reading.numbers import MAX_DIGITS, cut

NAME = "labels.csv"
FILE_COLUMNS = ("file", "filename", "file_name", "filepath", "image", "image_id", "img", "name", "path", "id")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "species")
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, eq=False)
class Labels:
    """What a CSV says of a folder's images.

    where: the CSV, as it is named in messages
    of: the label of every image that it lists, by the image's path
    remarks: lines that name no image, or one a second time
    """

    where: str
    of: Mapping[Parts, str]
    remarks: tuple[LeftOut, ...]

    def classes(self) -> tuple[str, ...]:
        """All labels, sorted; by value where all are whole numbers."""
        names = set(self.of.values())
        numbers = all(name.isascii() and name.isdecimal() and len(name) <= MAX_DIGITS for name in names)
        return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))


def find_labels(
    top: Parts, files: Sequence[File], images: Sequence[Parts], read: Callable[[File], bytes], path: object
) -> Labels | None:
    """The labels of images below `top`, from the nearest CSV: beside them, or in a folder around them.

    In each of these folders it is labels.csv, a CSV called as the folder of images beside it, or the only CSV there;
    that last one counts only if it can be read as labels and lists an image. Raises InputError where a line of the
    others is wrong.

    files: all there are; images: those of them that can be read; read: a file's content; path: named in messages
    """
    tables: dict[Parts, list[File]] = {}
    for file in files:
        if file.parts[-1].lower().endswith(".csv") and file.parts[:-1] == top[: len(file.parts) - 1]:
            tables.setdefault(file.parts[:-1], []).append(file)
    for depth in range(len(top), -1, -1):
        here = tables.get(top[:depth], [])
        named = {file.parts[-1].lower(): file for file in here}
        if NAME in named:
            return read_labels(read(named[NAME]), f"{path}/{'/'.join(named[NAME].parts)}", top[:depth], images)
        inner = top[: depth + 1]
        alike = named.get(f"{inner[-1]}.csv".lower()) if len(inner) > depth else None
        if alike is not None:  # it speaks of that folder's images alone, as other splits have names of their own
            mine = [image for image in images if image[: len(inner)] == inner]
            return read_labels(read(alike), f"{path}/{'/'.join(alike.parts)}", top[:depth], mine)
        if len(here) == 1:
            with contextlib.suppress(InputError):  # some other table
                return read_labels(read(here[0]), f"{path}/{'/'.join(here[0].parts)}", top[:depth], images)
    return None


def read_labels(content: bytes, where: str, folder: Parts, images: Sequence[Parts]) -> Labels:
    """A CSV of two columns: an image's file, relative to the CSV's folder, and its label. More columns need a header.

    Delimited by comma, semicolon or tab, quoted or not, with a byte order mark or without. A path may lack its ending,
    and a bare name may be of an image further down, as long as only one is called so.
    """
    index = _Index(folder, images)
    rows = _rows(content, where, index)
    header = _header(rows, index, where)
    if header is None and any(len(row) > 2 for _, row in rows):
        raise InputError(f"{where}: there are more than two columns: name them in the first line, such as file,label")
    at_file, at_label = header or (0, 1)
    columns = len(rows[0][1]) if header is not None else 2
    labels: dict[Parts, tuple[str, int]] = {}
    remarks = []
    table = where.rpartition("/")[2]
    for line, row in rows[header is not None :]:
        if len(row) <= max(at_file, at_label):
            raise InputError(f"{where}:{line}: {len(row)} column, expected a file and its label")
        named, label = row[at_file].strip(), composed(shown(row[at_label].strip()))
        if any(cell.strip() for cell in row[columns:]):
            raise InputError(
                f"{where}:{line}: {len(row)} columns, expected {columns}: put a label with a delimiter in it in quotes"
            )
        if not label:
            raise InputError(f"{where}:{line}: {cut(shown(named))} has no label")
        image = index.find(named)
        if image is None:
            remarks.append(LeftOut((shown(named),), f"lines of {table} whose file is not there"))
        elif image not in labels:
            labels[image] = (label, line)
        elif labels[image][0] == label:
            remarks.append(LeftOut((shown(named),), f"lines of {table} that repeat a file"))
        else:
            first, before = labels[image]
            raise InputError(
                f"{where}:{line}: {cut(shown(named))} is {cut(label)}, but line {before} says {cut(first)}"
            )
    if not labels:
        raise InputError(f"{where}: none of the files that it lists is there, the first is {cut(shown(rows[0][1][0]))}")
    return Labels(where, {image: label for image, (label, _) in labels.items()}, tuple(remarks))


class _Index:
    """Images by whatever a table may call them."""

    def __init__(self, folder: Parts, images: Sequence[Parts]) -> None:
        self.exact: dict[str, Parts] = {}
        self.alike: dict[str, Parts | None] = {}  # None: several are called so
        for image in images:
            if image[: len(folder)] != folder:
                continue
            path, name = composed("/".join(image[len(folder) :])), composed(image[-1])
            self.exact[path] = image
            for called in {name, name.rpartition(".")[0], path.rpartition(".")[0]}:
                self.alike[called] = None if called in self.alike else image

    def find(self, named: str) -> Parts | None:
        path = composed(shown(named.strip().replace("\\", "/"))).removeprefix("./")
        return self.exact.get(path) or self.alike.get(path)


def _header(rows: Sequence[tuple[int, list[str]]], index: _Index, where: str) -> tuple[int, int] | None:
    """The columns of files and labels, where the first line is a header: it names no image, nor any image's kind."""
    names = [cell.strip().lower() for cell in rows[0][1]]
    if names[0].endswith(SUFFIXES) or index.find(rows[0][1][0]) is not None:
        return None
    at_file = next((names.index(name) for name in FILE_COLUMNS if name in names), 0)
    others = [i for i, name in enumerate(names) if i != at_file and name]  # pandas' index has no name
    at_label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    if at_label is None and len(others) > 1:  # any of them: dates, splits, a column a class
        raise InputError(
            f"{where}: none of its columns {cut(', '.join(map(shown, names)))} is called label or class: rename the "
            "one that holds the labels to label"
        )
    at_label = at_label if at_label is not None else others[0] if others else 1
    return at_file, at_label


def _rows(content: bytes, where: str, index: _Index) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty; the delimiter is the one that gives most images."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise InputError(f"{where}: is not UTF-8: save it as CSV in UTF-8") from None
    best: list[tuple[int, list[str]]] = []
    most, fault = -1, ""
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            fault = fault or f"line {reader.line_num}: {error}"
            continue
        found = sum(any(index.find(cell) is not None for cell in row) for _, row in rows if len(row) > 1)
        if rows and found > most:
            best, most = rows, found
    if (most < 1 and fault) or not best:
        raise InputError(f"{where}: {fault or 'is empty'}")
    return best
