"""A case, and those that every CSV, JSON or binary format gets."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from .edits import DIGITS, Edit, edited, put, swap
from .sound import picture


@dataclass(frozen=True)
class Case:
    """An input, made of a sound one. must: whether it has to be refused, rather than believed if it is sound."""

    format: str
    name: str
    edit: Edit
    must: bool = True

    def __str__(self) -> str:
        return f"{self.format}-{self.name}"


def csv_cases(name: str, file: str) -> Iterator[Case]:
    yield Case(name, "empty", put(file, ""))
    yield Case(name, "spaces", put(file, " \n \n"))
    yield Case(name, "zero-byte", swap(file, ",", ",\0"))
    yield Case(name, "lone-cr", swap(file, "\n", "\r"))
    yield Case(name, "all-cr", partial(edited, file, lambda content: content.replace(b"\n", b"\r")))
    yield Case(name, "utf-16", partial(edited, file, lambda content: content.decode().encode("utf-16")))
    yield Case(name, "latin-1", swap(file, "\n", " \udcfc\n"))
    yield Case(name, "png", put(file, picture()))
    yield Case(name, "json", put(file, '{"a": 1}'))
    yield Case(name, "long-field", partial(edited, file, lambda content: content + b"x" * 200_000 + b"\n"))
    yield Case(name, "open-quote", partial(edited, file, lambda content: content + b'"\n'))
    yield Case(name, "header-only", partial(edited, file, _header_only))
    yield Case(name, "column-twice", partial(edited, file, _column_twice))
    yield Case(name, "many-columns", partial(edited, file, lambda content: content + b",".join([b"x"] * 5000) + b"\n"))
    yield Case(name, "odd-column", partial(edited, file, partial(_column, "\x1b[31m\u202e")), must=False)
    yield Case(name, "long-column", partial(edited, file, partial(_column, "c" * 3000 + "_ms")), must=False)
    yield Case(name, "bom", partial(edited, file, lambda content: b"\xef\xbb\xbf" + content), must=False)
    yield Case(name, "crlf", partial(edited, file, lambda content: content.replace(b"\n", b"\r\n")), must=False)
    yield Case(name, "cut", partial(edited, file, lambda content: content[:-20]))


def _header_only(content: bytes) -> bytes:
    return b"".join(row for row in content.splitlines(keepends=True) if row.startswith(b"#"))


def _column_twice(content: bytes) -> bytes:
    rows = content.split(b"\n")
    first = next(i for i, row in enumerate(rows) if not row.startswith(b"#"))
    cells = rows[first].split(b",")
    return b"\n".join([*rows[:first], b",".join([cells[0], *cells[:-1]]), *rows[first + 1 :]])


def _column(name: str, content: bytes) -> bytes:
    """One more column, empty."""
    rows = []
    for row in content.split(b"\n"):
        head = row.startswith((b"op,", b"space,", b"resolution,"))
        rows.append(row if not row or row.startswith(b"#") else row + b"," + (name.encode() if head else b""))
    return b"\n".join(rows)


def json_cases(name: str, file: str) -> Iterator[Case]:
    for what, text in {
        "empty": "",
        "deep": "[" * 100_000 + "]" * 100_000,
        "deep-object": '{"a":' * 5000 + "1" + "}" * 5000,
        "huge-integer": f'{{"a": {DIGITS}}}',
        "nan": '{"a": NaN}',
        "beyond": '{"a": 1e999}',
        "twice": '{"a": 1, "a": 2}',
        "list": "[1]",
        "number": "7",
        "true": "true",
        "null": "null",
        "text": '"x"',
        "cut": '{"a": [1, 2',
        "object": "{}",
        "surrogate": '{"\\ud800": "\\udfff"}',
        "escapes": '{"\\u001b[2J\\u202e": 1}',
    }.items():
        yield Case(name, what, put(file, text))
    yield Case(name, "not-utf-8", put(file, b'{"a": "\xff"}'))
    yield Case(name, "zero-byte", put(file, b'{"a"\0: 1}'))
    yield Case(name, "many-keys", put(file, json.dumps({f"k{i}": i for i in range(20_000)})))


def binary_cases(name: str, file: str) -> Iterator[Case]:
    yield Case(name, "binary-empty", put(file, b""))
    yield Case(name, "binary-one-byte", put(file, b"P"))
    yield Case(name, "binary-pickle", put(file, pickle.dumps({"a": 1})))
    yield Case(name, "binary-png", put(file, picture()))
    yield Case(name, "binary-csv", put(file, "a,b\n1,2\n"))
    yield Case(name, "binary-cut", partial(edited, file, lambda content: content[: len(content) // 2]))
    yield Case(name, "binary-end-cut", partial(edited, file, lambda content: content[:-1]))
    yield Case(name, "binary-zeros", partial(edited, file, lambda content: bytes(len(content))))
