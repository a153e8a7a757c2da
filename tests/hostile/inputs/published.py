"""Latencies of blocks as others published them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..edits import DIGITS, WIDE, Edit, put, swap
from ..format import Format

Y = "published.yaml"


def make_published(folder: Path) -> None:
    key = "expanded_conv-input:10x10x136-output:10x10x136-expand:408-kernel:3-stride:1-idskip:1-se:1-hs:1"
    (folder / "published.yaml").write_text(f"{key}: {{mean: 1.5, count: 10, std: 0.1}}\n")


def read_published(path: Path) -> None:
    from latency_tables.published_blocks import convert, read

    header = {"device": "D", "runtime": "R", "source": "S"}
    table, _ = convert({str(path): read(path)}, "mit", ["mbv3-w1.2"], header)
    assert all(np.isfinite(row.latency_ms) and row.latency_ms > 0 for row in table.rows)


def _laughs() -> str:
    """Ten lists of ten of the one before, nine times: a thousand million, in a kilobyte."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(rows) + "\n"


FORMATS: Mapping[str, Format] = {
    "published": Format("published.yaml", make_published, read_published),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "published": {
        "empty": put(Y, ""),
        "not-utf-8": put(Y, b"a: \xff\n"),
        "list": put(Y, "- 1\n"),
        "deep": put(Y, "a: " + "[" * 400),
        # libyaml alone recurses until the process dies
        "deep-lists": put(Y, "- " * 200_000),
        "deep-mappings": put(Y, "{a: " * 200_000),
        "digits": swap(Y, "1.5", DIGITS),
        "date": swap(Y, "1.5", "2001-99-99"),
        "code": put(Y, "!!python/object/apply:os.system [false]"),
        "key-number": put(Y, "5: {mean: 1, std: 0}\n"),
        "key-list": put(Y, "? [1]\n: {mean: 1, std: 0}\n"),
        "key-long": put(Y, "x" * 3000 + ": {mean: 1, std: 0}\n"),
        "key-digits": swap(Y, "10x10x136", f"{DIGITS}x{DIGITS}x3"),
        "key-wide": swap(Y, "10x10x136", f"{WIDE}x{WIDE}x136"),
        "key-x": swap(Y, "10x10x136", "10xx136"),
        "zero-size": swap(Y, "10x10x136", "0x0x136"),
        "entry-list": swap(Y, "{mean: 1.5", "[{mean: 1.5"),
        "entry-text": put(Y, "a: " + "b" * 3000),
        "mean-nan": swap(Y, "1.5", ".nan"),
        "mean-inf": swap(Y, "1.5", ".inf"),
        "mean-true": swap(Y, "1.5", "yes"),
        "mean-negative": swap(Y, "1.5", "-1.5"),
        "mean-null": swap(Y, "1.5", "null"),
        "mean-underscore": swap(Y, "1.5", "'1_5'"),
        "mean-seconds": swap(Y, "1.5", "1.0e-12"),
        "std-negative": swap(Y, "0.1", "-0.1"),
        "std-gone": swap(Y, ", std: 0.1", ""),
        "count-negative": swap(Y, "count: 10", "count: -1"),
        "count-half": swap(Y, "count: 10", "count: 1.5"),
        "aliases": put(Y, _laughs()),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "published": {"mean-text": swap(Y, "1.5", "15e-1"), "var": swap(Y, "std: 0.1", "var: 0.01")},
}
