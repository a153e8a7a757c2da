"""tables.toml: the tables that `profilers.regenerate` measures again, and whether their devices are at hand."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from device_agents.cpu.agent import cpu_model
from ofa.errors import InputError
from profilers import android, cpu, gpu, linux

_KEYS = ("file", "profiler", "args")


@dataclass(frozen=True)
class Entry:
    """One table.

    file: its name, in the folder of the configuration; profiler: the module of `profilers` that measures it
    args: that module's arguments, without --out and --resume; options: the same, parsed
    """

    file: str
    profiler: str
    args: tuple[str, ...]
    options: argparse.Namespace


def load_config(path: Path) -> list[Entry]:
    """The tables of a configuration; InputError names the entry and the field that is wrong."""
    if not path.is_file():
        raise InputError(f"{path}: no such configuration (the project's is latency_tables/tables.toml)")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None
    tables = content.pop("table", None)
    if content or not isinstance(tables, list) or not tables:
        raise InputError(f"{path}: expected [[table]] entries and nothing else")
    entries = [_entry(f"{path}: table {number}", table) for number, table in enumerate(tables, start=1)]
    for i, entry in enumerate(entries):
        if entry.file in [other.file for other in entries[:i]]:
            raise InputError(f"{path}: {entry.file} is there twice")
    return entries


def _entry(where: str, table: Any) -> Entry:
    if not isinstance(table, dict) or sorted(table) != sorted(_KEYS):
        raise InputError(f"{where}: expected the keys {', '.join(_KEYS)}")
    file, profiler, args = (table[key] for key in _KEYS)
    if not isinstance(file, str) or Path(file).name != file or Path(file).suffix != ".csv":
        raise InputError(f"{where}: file is {file!r}, expected the name of a .csv file beside the configuration")
    if profiler not in _PROFILERS:
        raise InputError(f"{where}: profiler is {profiler!r}, expected one of {', '.join(_PROFILERS)}")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise InputError(f"{where}: args is {args!r}, expected a list of strings")
    said = StringIO()
    try:
        with redirect_stderr(said):
            options = _PROFILERS[profiler][0]().parse_args([*args, "--out", file, "--resume"])
    except SystemExit:
        words = (said.getvalue().strip() or "--help").splitlines()[-1]
        raise InputError(f"{where}: args are not those of profilers.{profiler}: {words}") from None
    if any(getattr(options, name, False) for name in ("list", "dry_run", "clean")):
        raise InputError(f"{where}: args ask profilers.{profiler} for something else than a table")
    return Entry(file, profiler, tuple(args), options)


def why_not_here(entry: Entry, header: Mapping[str, str]) -> str | None:
    """Why the device of a table cannot be measured from here; None if it can. header: the committed table's, or none.

    A CPU and a GPU must be of the model that the header names as soc. A phone and a board are known by serial and
    host: whether they still are of that model is seen when their new table is compared.
    """
    try:
        model = _PROFILERS[entry.profiler][1](entry.options)
    except InputError as reason:
        return str(reason)
    soc = header.get("soc")
    if model is not None and soc is not None and model != soc:
        return f"this is {model}, the table is of {soc}"
    return None


def _this_cpu(_: argparse.Namespace) -> str | None:
    return cpu_model()


def _this_gpu(options: argparse.Namespace) -> str | None:
    """The GPU's name; NoDevice where there is none."""
    first = gpu.found_devices(options.device)[0]
    if not first.startswith("cuda"):
        return None
    import torch

    return str(torch.cuda.get_device_name(first))


def _phone(options: argparse.Namespace) -> None:
    """InputError unless the phone answers."""
    if find_spec("adb_shell") is None:
        raise InputError("phones need adb-shell: pip install 'ofa-latency[android]'")
    from profilers.adb import Adb

    with Adb(options.serial) as adb:
        adb.connect()


def _board(options: argparse.Namespace) -> None:
    """InputError unless the board answers."""
    from profilers.ssh import Board

    Board(options.host, options.ssh_config).facts()


# the command's options, and a probe that tells the device's model, or raises InputError
_PROFILERS: dict[str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], str | None]]] = {
    "cpu": (cpu.parser, _this_cpu),
    "gpu": (gpu.parser, _this_gpu),
    "android": (android.parser, _phone),
    "linux": (linux.parser, _board),
}
