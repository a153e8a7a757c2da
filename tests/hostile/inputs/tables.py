"""Tables of blocks, and files of what whole networks took."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks, write_networks

from ..edits import DIGITS, WIDE, Edit, edited, swap, without
from ..format import Format
from ..sound import SPACE

T, N = "table.csv", "times.csv"


def make_table(folder: Path) -> None:
    rows = [TableRow(b, 0.001 + block_macs(b) * 1e-8, mad_ms=0.0, runs=20) for b in all_blocks(SPACE, [64])]
    header = {"device": "D", "runtime": "R", "provenance": "measured", "space": SPACE.name, "source": "S"}
    header |= {"resolutions": "64", "batch": "1", "expected_error": "not known", "sum_correction": "scale=1.1 calls=0"}
    LatencyTable(header, rows).save(folder / "table.csv")


def read_table(path: Path) -> None:
    table = LatencyTable.load(path)
    assert table.batch >= 1
    assert table.num_classes >= 1
    assert all(32 <= r <= 1024 for r in table.resolutions)
    assert " ".join([*table.header, *table.header.values()]).isprintable()
    latency_ms = table.latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 20, resolutions=[64]))
    assert np.isfinite(latency_ms).all()
    assert (latency_ms > 0).all()


def make_times(folder: Path) -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 5, resolutions=[64]))
    header = {"device": "D", "source": "S"}
    times = [f"{20 + i}.5" for i in range(5)]
    write_networks(folder / "times.csv", header, [(SPACE.name, s) for s in subnets], {"latency_ms": times})


def read_times(path: Path) -> None:
    found = read_networks(path)
    assert np.isfinite(found.latency_ms).all()
    assert (found.latency_ms > 0).all()
    assert len(found.networks) == len(found.latency_ms)


def _rows(old: str, *news: str) -> dict[str, Edit]:
    return {f"latency-{new[:12]}": swap("times.csv", old, new) for new in news}


FORMATS: Mapping[str, Format] = {
    "table": Format("table.csv", make_table, read_table),
    "times": Format("times.csv", make_times, read_times),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "table": {
        "gone": without(T),
        "schema-2": swap(T, "# schema: 1", "# schema: 2"),
        "schema-long": swap(T, "# schema: 1", f"# schema: {9 * 10**600}"),
        "rows-lie": swap(T, "# rows: ", "# rows: 1"),
        "rows-wide": swap(T, "# rows: ", f"# rows: {WIDE}"),
        "rows-twice": swap(T, "# rows: ", "# rows: 5\n# rows: "),
        "rows-5000-digits": swap(T, "# rows: ", f"# rows: {DIGITS}"),
        "near-miss": swap(T, "# batch: 1", "# Batch: 1"),
        "batch-zero": swap(T, "# batch: 1", "# batch: 0"),
        "batch-underscore": swap(T, "# batch: 1", "# batch: 1_0"),
        "batch-huge": swap(T, "# batch: 1", f"# batch: {DIGITS}"),
        "provenance": swap(T, "measured", "guessed"),
        "emulated": swap(T, "# batch: 1", "# emulated: maybe"),
        "omits": swap(T, "# batch: 1", "# omits: everything"),
        "escape": swap(T, "# device: D", "# device: \x1b]0;x\x07"),
        "direction": swap(T, "# device: D", "# device: \u202eD"),
        "long-odd-key": swap(T, "# device: D", f"# device: D\n# {'k' * 2000}\x07: {'v' * 2000}"),
        "no-device": swap(T, "# device: D\n", ""),
        "scale-minus": swap(T, "scale=1.1", "scale=-1"),
        "scale-1e300": swap(T, "scale=1.1", "scale=1e300"),
        "scale-underscore": swap(T, "scale=1.1", "scale=1_000"),
        "scale-twice": swap(T, "scale=1.1", "scale=1.1 scale=1.2"),
        "weights-1e9": swap(T, "calls=0", "weights=-1e9"),
        "calls-negative-sum": swap(T, "calls=0", "calls=-100"),
        "term-unknown": swap(T, "calls=0", "magic=1"),
        "correction-long": swap(T, "scale=1.1", "x" * 5000),
        "latency-nan": swap(T, ",0.0,", ",nan,"),
        "mad-negative": swap(T, ",0.0,", ",-1,"),
        "size-wide": swap(T, "conv,64", f"conv,{WIDE}"),
        "size-huge": swap(T, "conv,64", "conv,1000000000"),
        "op-unknown": swap(T, "\nconv,", "\nconvolution\x1b,"),
        "block-twice": partial(edited, T, lambda content: content + content.splitlines(keepends=True)[-1]),
    },
    "times": {
        **_rows("20.5", "nan", "inf", "-1", "0", "1e300", "1_0", WIDE, DIGITS, "", "20,5"),
        "seconds": swap(N, "20.5", "0.0205"),
        "no-column": swap(N, "latency_ms", "latency"),
        "resolution-1e9": swap(N, "\nmbv3-w0.35,64", "\nmbv3-w0.35,1000000000"),
        "space-unknown": swap(N, "\nmbv3-w0.35,", f"\n{'x' * 3000},"),
        "space-wide": swap(N, "\nmbv3-w0.35,", "\nmbv3-w\uff11.0,"),
        "space-digits": swap(N, "\nmbv3-w0.35,", f"\nmbv3-w{DIGITS},"),
        "network-twice": partial(edited, N, lambda content: content + content.splitlines(keepends=True)[-1]),
        "header-near-miss": swap(N, "# device: D", "# device: D\n# Emulated: yes"),
        "kernel-9": swap(N, ",7 ", ",9 "),
        "odd-columns": swap(N, "latency_ms", "\x1b_ms,b_ms"),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "table": {
        "resolutions-superscript": swap(T, "# resolutions: 64", "# resolutions: \u00b2, 6_4, 64"),
        "resolutions-beyond": swap(T, "# resolutions: 64", f"# resolutions: 9999, 1, {DIGITS}, 64"),
        "spaces-unknown": swap(T, "# space: mbv3-w0.35", "# space: nowhere, mbv3-w0.35, ,"),
        "rows-gone": partial(edited, T, lambda content: content.replace(b"# rows: ", b"# number of rows: ")),
    },
}
CSV = ("table", "times")
