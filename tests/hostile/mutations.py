"""Sound files, damaged at random: bytes, JSON values, cells, lines, and what a safetensors file says of itself."""

from __future__ import annotations

import hashlib
import json
import struct
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from .format import Files, Format, fault_of, refusal, safetensors, write
from .formats import FORMATS

SECONDS = 2.0  # of CPU; the corpus holds every case to one
TOKENS = (
    b"nan", b"inf", b"-1", b"0", b"1e300", b"1_0", b"9" * 50, b"9" * 5000, b"1.5", b"true", b"null", b"\"\"", b"{}",
    b"[]", b"[[", b"{\"a\":", b",", b":", b"\"", b"\\", b"\n", b"\r", b"\0", b"\x1b[2J", b"\xff", b"\xe2\x80\xae",
    "\uff11".encode(), b"\xef\xbb\xbf", b"#", b"../", b"\xc2\xa0", b" ", b"\\ud800", b"-", b".", b"&a", b"*a", b"!!",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.5, 1e300, 10**39, -(10**39), 64, 225, 10**6, 10**9, "", "x", "64", "nan",
    "\x1b[2J", "\ud800", "y" * 2000, [], [1], [[1]], ["x"], [None], {}, {"a": 1}, [0] * 300, "mbv3-w4.0", "../x",
)  # fmt: skip


def mutated(random: Random, files: Files) -> dict[str, bytes]:
    """The files with one of them damaged, once or a few times."""
    found = dict(files)
    name = random.choice(sorted(found))
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        found[name] = _damaged(random, name, found[name])
    if random.random() < 0.02 and len(found) > 1:
        del found[random.choice(sorted(found))]
    return _signed(found) if random.random() < 0.7 else found


def _signed(files: dict[str, bytes]) -> dict[str, bytes]:
    """A predictor's header with the digest of its tensors, damaged or not: whoever damages on purpose does the same."""
    try:
        header = json.loads(files["predictor.json"])
        header["sha256"] = hashlib.sha256(files["predictor.safetensors"]).hexdigest()
        return {**files, "predictor.json": json.dumps(header).encode()}
    except (KeyError, ValueError, TypeError):
        return files


def _damaged(random: Random, name: str, content: bytes) -> bytes:
    ways: list[Callable[[Random, bytes], bytes]] = [_bytes]
    if name.endswith((".json", ".config")):
        ways += [_json, _json, _json]
    elif name.endswith((".jsonl", "lines")):
        ways += [_json_line, _json_line, _json_line]
    elif name.endswith(".safetensors"):
        ways += [_metadata, _metadata, _metadata, _header]
    elif name.endswith((".csv", ".txt", ".toml", ".yaml")):
        ways += [_cell, _cell, _line]
    try:
        return random.choice(ways)(random, content)
    except (ValueError, LookupError, TypeError, struct.error, AttributeError):  # an earlier damage left it without form
        return _bytes(random, content)


def _bytes(random: Random, content: bytes) -> bytes:
    size = len(content)
    start = random.randrange(size + 1)
    end = min(size, start + random.choice((0, 1, 1, 2, 8, 64, size)))
    way = random.randrange(5)
    if way == 0:
        middle = random.choice(TOKENS)
    elif way == 1:
        middle = b""
    elif way == 2:
        middle = random.randbytes(random.choice((1, 2, 4, 16)))
    elif way == 3:
        other = random.randrange(size + 1)
        middle = content[other : other + random.choice((1, 8, 100, 1000))]
    else:
        middle = content[start:end] * random.choice((2, 3, 50))
    return content[:start] + middle[:200_000] + content[end:]


def changed(random: Random, value: Any) -> Any:
    """A JSON value with one inside it replaced, taken away, or put in."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        what = random.random()
        if what < 0.08:
            return {k: v for k, v in value.items() if k != key}
        if what < 0.14:
            return {**value, random.choice(("x", "\x1b", "y" * 500, "schema")): random.choice(VALUES)}
        if what < 0.18:
            return {("z" + k if k == key else k): v for k, v in value.items()}
        return {**value, key: changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        i = random.randrange(len(value))
        what = random.random()
        if what < 0.1:
            return value[:i] + value[i + 1 :]
        if what < 0.2:
            return [*value, random.choice((value[i], random.choice(VALUES)))]
        return [*value[:i], changed(random, value[i]), *value[i + 1 :]]
    if isinstance(value, str) and random.random() < 0.5:
        try:
            return json.dumps(changed(random, json.loads(value)))  # JSON in a text, as metadata have
        except ValueError:
            return _bytes(random, value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    if isinstance(value, int | float) and not isinstance(value, bool) and random.random() < 0.3:
        return value * random.choice((-1, 2, 0.5, 10**6))
    return random.choice(VALUES)


def _json(random: Random, content: bytes) -> bytes:
    return json.dumps(changed(random, json.loads(content))).encode()


def _json_line(random: Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    i = random.randrange(len(lines) - 1)
    lines[i] = json.dumps(changed(random, json.loads(lines[i]))).encode()
    if random.random() < 0.2:
        random.shuffle(lines)
    return b"\n".join(lines)


def _parted(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _metadata(random: Random, content: bytes) -> bytes:
    header, data = _parted(content)
    metadata = changed(random, header["__metadata__"])
    header["__metadata__"] = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    return safetensors(header, data)


def _header(random: Random, content: bytes) -> bytes:
    header, data = _parted(content)
    return safetensors(changed(random, header), data)


def _cell(random: Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    i = random.randrange(len(lines))
    separator = random.choice((b",", b" ", b": "))
    cells = lines[i].split(separator)
    j = random.randrange(len(cells))
    cells[j] = random.choice(
        (*TOKENS, cells[j] + random.choice(TOKENS), str(random.choice(VALUES)).encode("utf-8", "replace"))
    )
    lines[i] = separator.join(cells)
    return b"\n".join(lines)


def _line(random: Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    i, j = random.randrange(len(lines)), random.randrange(len(lines))
    way = random.randrange(3)
    if way == 0:
        lines[i], lines[j] = lines[j], lines[i]
    elif way == 1:
        lines.insert(i, lines[j])
    else:
        del lines[i]
    return b"\n".join(lines)


@dataclass(frozen=True)
class Find:
    """An input that was neither read soundly nor refused as it should be. why: in words, with a traceback"""

    format: str
    files: Files
    why: str


def tried(name: str, files: Files, folder: Path) -> Find | None:
    """Reads files as that format, in an empty folder; a find, or None."""
    form: Format = FORMATS[name]
    write(folder, files)
    path = folder / form.name
    seconds = time.thread_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            refused = refusal(path, form.read)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return Find(name, files, "".join(traceback.format_exception(error)))
    if (taken := time.thread_time() - seconds) > SECONDS:
        return Find(name, files, f"it took {taken:.1f} s")
    if refused is not None and (fault := fault_of(refused, path)):
        return Find(name, files, f"{fault}: {refused!r}")
    return None
