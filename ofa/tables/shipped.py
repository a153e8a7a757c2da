"""The latency tables that come with the project, by their names."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ofa.errors import InputError


def find_table(name: str) -> Path:
    """The path itself, or the shipped table of that name ("note10"); InputError lists those there are."""
    if not name.strip():  # as of a variable of the shell that is not set: the path of nothing is this folder
        raise InputError(f"a latency table's name is empty{shipped_hint(name)}")
    path = Path(name)
    shipped = shipped_tables()
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    if path.suffix == ".csv" or len(path.parts) > 1 or path.exists():
        return path  # whoever opens it says what is wrong with it
    raise InputError(f"{name}: no such latency table{shipped_hint(name)}")


def shipped_tables() -> dict[str, Path]:
    """Their files, by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.csv"))}


def shipped_folder() -> Path:
    """Where they lie, with tables.toml, which says how those of the project were measured."""
    return Path(__file__).resolve().parents[2] / "latency_tables"


def shipped_hint(name: str) -> str:
    """The end of a message about a table that is not there: the shipped ones whose names are most like it."""
    names = list(shipped_tables())
    if not names:
        return " (a file's path; none is shipped)"
    like = get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
    return f" (a file's path, or one of the {len(names)} in {shipped_folder()}, such as {', '.join(like)})"
