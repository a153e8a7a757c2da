"""tables.toml: the tables that `profilers.regenerate` measures again, and whether their devices are at hand."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import cut, short
from ofa.reading.structured import read_toml
from ofa.space import checked_resolutions, get_space
from profilers.profiling.profile_options import MeasureOptions

LONGEST_NAME = 200  # bytes: systems take 255, and a table's other files are called by it
_KEYS = ("file", "profiler", "args")


@dataclass(frozen=True)
class Asked:
    """What a profiler's arguments ask for. model: tells the device's model, None where that is not known from here;

    InputError where the device is not to be had
    """

    options: MeasureOptions
    model: Callable[[], str | None]


# {module of `profilers`: what its arguments ask for, or None for something else than a table}. UsageError: wrong ones
Profilers = Mapping[str, Callable[[Sequence[str]], Asked | None]]


@dataclass(frozen=True)
class TableEntry:
    """One table.

    file: its name, in the folder of the configuration; profiler: the module of `profilers` that measures it
    args: that module's arguments, without --out and --resume; options, model: what they ask for
    """

    file: str
    profiler: str
    args: tuple[str, ...]
    options: MeasureOptions
    model: Callable[[], str | None]


def load_config(path: Path, profilers: Profilers) -> list[TableEntry]:
    """The tables of a configuration; InputError names the entry and the field that is wrong."""
    if not path.is_file():
        from ofa.tables.shipped import shipped_folder

        raise InputError(f"{path}: no such configuration (the project's own is {shipped_folder() / 'tables.toml'})")
    content = read_toml(path)
    tables = content.pop("table", None)
    if content or not isinstance(tables, list) or not tables:
        raise InputError(f"{path}: expected [[table]] entries and nothing else")
    entries = [_entry(f"{path}: table {number}", table, profilers) for number, table in enumerate(tables, start=1)]
    _check_apart(path, [entry.file for entry in entries])
    return entries


def _check_apart(path: Path, files: Sequence[str]) -> None:
    """InputError where two tables, or what a run leaves of one beside the new ones, would be one file."""
    taken: dict[str, str] = {}
    for file in files:
        if _one_name(file) in taken:
            raise InputError(f"{path}: {file} is there twice")
        taken[_one_name(file)] = file
    for file in files:
        for left in (again(file), before(file)):
            if other := taken.get(_one_name(left)):
                raise InputError(f"{path}: {other} is what a run calls a copy of {file}: name it otherwise")


def _one_name(file: str) -> str:
    """Equal for names that some file systems take for one: in other cases, or with accents put together otherwise."""
    return unicodedata.normalize("NFC", file).casefold()


def again(file: str) -> str:
    """Name of the table of the second measurement, which an alarm needs."""
    return f"{Path(file).stem}.again.csv"


def before(file: str) -> str:
    """Name of the copy of the committed table, made before the new one takes its place."""
    return f"{Path(file).stem}.before.csv"


def _entry(where: str, table: Any, profilers: Profilers) -> TableEntry:
    if not isinstance(table, dict) or sorted(table) != sorted(_KEYS):
        raise InputError(f"{where}: expected the keys {', '.join(_KEYS)}")
    file, profiler, args = (table[key] for key in _KEYS)
    if not isinstance(file, str) or Path(file).name != file or Path(file).suffix != ".csv":
        raise InputError(f"{where}: file is {short(file)}, expected the name of a .csv file beside the configuration")
    if not file.isprintable():
        raise InputError(f"{where}: file is {short(file)}, expected a name that can be printed")
    if len(os.fsencode(file)) > LONGEST_NAME:
        raise InputError(f"{where}: file is {short(file)}, expected a name of at most {LONGEST_NAME} bytes")
    if profiler not in list(profilers):
        raise InputError(f"{where}: profiler is {short(profiler)}, expected one of {', '.join(profilers)}")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise InputError(f"{where}: args is {short(args)}, expected a list of strings")
    words = f"{where}: args are not those of profilers.{profiler}"
    try:
        with redirect_stdout(StringIO()):  # the help is no table
            # where it may write is looked at: the tables' own folder is written to by --accept alone
            asked = profilers[profiler]([*args, "--out", str(Path(tempfile.gettempdir(), file)), "--resume"])
    except SystemExit:
        raise InputError(f"{words}: --help") from None
    except InputError as error:
        raise InputError(f"{words}: {cut(error, 150)}") from None
    if asked is None:
        raise InputError(f"{where}: args ask profilers.{profiler} for something else than a table")
    try:
        get_space(asked.options.space, asked.options.num_classes)
        checked_resolutions(asked.options.resolutions)
    except InputError as error:
        raise InputError(f"{words}: {error}") from None
    return TableEntry(file, profiler, tuple(args), asked.options, asked.model)


def why_not_here(entry: TableEntry, header: Mapping[str, str]) -> str | None:
    """Why the device of a table cannot be measured from here; None if it can. header: the committed table's, or none.

    A CPU and a GPU must be of the model that the header names as soc. A phone and a board are known by serial and
    host: whether they still are of that model is seen when their new table is compared.
    """
    try:
        model = entry.model()
    except InputError as reason:
        return str(reason)
    soc = header.get("soc")
    if model is not None and soc is not None and model != soc:
        return f"this is {model}, the table is of {soc}"
    return None
