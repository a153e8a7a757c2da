"""JSON and TOML of others: every fault is one line that names the file; nothing deep, huge or not a number gets in."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import MAX_DIGITS

MAX_DEPTH = 64  # of lists in lists; ours have five
MAX_BYTES = 256 * 2**20  # of a file; a result.json of a thousand devices has ten


def parse_json(text: str | bytes, where: object) -> Any:
    """A JSON value. InputError, beginning with `where`, for what is no JSON, and for what JSON has no numbers for.

    Refused too: lists 64 deep, integers of more than 40 digits, a key twice in one object.
    """
    deep = False
    try:
        value = json.loads(
            text, parse_constant=_no_number, parse_int=_integer, parse_float=_float, object_pairs_hook=_once
        )
        deep = _too_deep(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not JSON: byte {error.start} is not UTF-8 text") from None
    except RecursionError:
        deep = True
    if deep:
        raise InputError(f"{where}: lists or objects are nested more than {MAX_DEPTH} deep")
    return value


def parse_object(text: str | bytes, where: object) -> dict[str, Any]:
    """As `parse_json`, an object."""
    return as_object(parse_json(text, where), where)


def as_object(value: Any, where: object) -> dict[str, Any]:
    """The value, if it is an object; else InputError."""
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
        raise InputError(f"{where}: {kind}, expected an object: {{...}}")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object."""
    return parse_object(content_of(path), path)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file."""
    return parse_toml(content_of(path), path)


def parse_toml(text: bytes, where: object, *, any_float: bool = False) -> dict[str, Any]:
    """The content of a TOML file. InputError, beginning with `where`, for what is none.

    any_float: let nan and inf pass, for whoever checks every number and names its key
    """
    try:
        as_float = float if any_float else _float
        return tomllib.loads(text.decode("utf-8-sig").replace("\r\n", "\n"), parse_float=as_float)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not TOML: byte {error.start} is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, ValueError, InputError) as error:  # ValueError: an integer of 5,000 digits
        raise InputError(f"{where}: not TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: not TOML: lists are nested too deeply") from None


def need(fields: Mapping[str, Any], key: str, kind: type, where: object) -> Any:
    """A field of an object, of that type; InputError where it lacks or is of another. True is not the integer 1."""
    value = fields.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
        fault = "is missing" if key not in fields else f"is of another kind ({type(value).__name__})"
        raise InputError(f"{where}: {key} {fault}, expected {names.get(kind, kind.__name__)}")
    return value


def content_of(path: Path, most: int = MAX_BYTES) -> bytes:
    """A file's bytes, at most 256 MiB of them; InputError where it cannot be read, or has more."""
    refuse_endless(path)
    try:
        if path.stat().st_size > most:
            raise InputError(f"{path}: {path.stat().st_size / 2**20:.0f} MiB, more than such a file ever has")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte in its name
        raise InputError(f"{str(path)!a}: no file can be called that ({error})") from None


def _no_number(name: str) -> float:
    raise InputError(f"{name} is not a number that JSON has")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InputError(f"an integer of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise InputError(f"{text[:MAX_DIGITS]} is beyond what a number can be")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"{ascii(twice)[:60]} is there twice in one object")
    return found


def _too_deep(value: Any) -> bool:
    """Without recursion: the parser in C takes more than Python's own stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for each in level for item in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in found if isinstance(item, dict | list)]
