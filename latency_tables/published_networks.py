"""Lists of whole-network latencies as others published them.

Formats:

mit   a list of once-for-all's specialised networks, CSV with name, device, image_size and latency_ms, and next to it a
      folder `specialized` with each one's net.config as NAME.net.json
help  the CSV of HELP's random OFA-MobileNetV3 sub-networks: resolution, depths, kernel_sizes, expand_ratios, and a
      column of milliseconds for every device and batch; the width is not in it and is told by --space
qed   named CNNs that qed-usc timed on phones: model, and a column of milliseconds for every device, cluster and type
accel Accel-NASBench's networks of the MnasNet space: e, k, l, se, latency_zcu102, latency_vck190
fbnet HELP's networks of FBNet's space: ops, and a column of milliseconds for every device and batch
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latency_tables.phone_cnns import phone_cnn
from ofa.errors import InputError
from ofa.published.coded import code_of_blocks
from ofa.reading.csv_text import Row, read_csv_text
from ofa.reading.numbers import MILLISECONDS, PIXELS, Bounds
from ofa.reading.structured import read_json
from ofa.space import Subnet, get_space
from ofa.space.mit_format import subnet_from_net_config

Networks = list[tuple[str, Subnet]]
CHOICE = Bounds(0, 1000, "a choice")


def read_mit(path: Path, device: str) -> tuple[Networks, dict[str, list[str]], list[str]]:
    """Networks, latencies and names of one device of the list."""
    networks: Networks = []
    latencies, names = [], []
    for row in _rows(path, ("name", "device", "image_size", "latency_ms")):
        cells = row.cells
        if cells["device"] == device:
            name = Path(cells["name"]).name  # of a file in that folder, and nowhere else
            config = path.parent / "specialized" / f"{name}.net.json"
            size = PIXELS.integer(f"{row.where('image_size')}: image_size", cells["image_size"])
            try:
                space, subnet = subnet_from_net_config(read_json(config), size)
            except InputError as error:
                raise error if str(config) in str(error) else InputError(f"{config}: {error}") from None
            networks.append((space.name, subnet))
            latencies.append(_milliseconds(row, "latency_ms"))
            names.append(cells["name"])
    if not networks:
        raise InputError(f"{path} lists no network of {device}")
    return networks, {"latency_ms": latencies}, names


def read_help(path: Path, space_name: str, every: int) -> tuple[Networks, dict[str, list[str]]]:
    """Every so many-th network, and its latencies by device and batch."""
    rows = _rows(path, ("resolution", "depths", "kernel_sizes", "expand_ratios"))[::every]
    space = get_space(space_name)
    networks: Networks = []
    for row in rows:
        lists = {
            f: [CHOICE.integer(f"{row.where(f)}: {f}", n) for n in row.cells[f].split()]
            for f in ("depths", "kernel_sizes", "expand_ratios")
        }
        resolution = PIXELS.integer(f"{row.where('resolution')}: resolution", row.cells["resolution"])
        try:
            networks.append((space.name, space.subnet(**lists, resolution=resolution)))
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from None
    columns = [column for column in rows[0].cells if column.endswith("_ms")]
    return networks, {column: [_milliseconds(row, column) for row in rows] for column in columns}


def read_coded(path: Path, kind: str, every: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """{code: name} of every so many-th network that our blocks describe, and their latencies by column, "" for none.

    kind: "qed", "accel" or "fbnet"; codes are as `profilers.estimating` reads them
    """
    rows = _rows(path, {"qed": ("model",), "accel": ("e", "k", "l", "se"), "fbnet": ("ops",)}[kind])[::every]
    codes: dict[str, str] = {}
    latencies: dict[str, list[str]] = {}
    for row in rows:
        cells = row.cells
        if kind == "qed":
            blocks = phone_cnn(cells["model"])
            code = "" if blocks is None else code_of_blocks(blocks)
        elif kind == "accel":
            code = "mnasnet:" + "|".join(cells[column] for column in ("e", "k", "l", "se"))
        else:
            code = f"fbnet:{cells['ops']}"
        if not code or code in codes:
            continue
        codes[code] = cells.get("model", "")
        for column, text in cells.items():
            if column.endswith("_ms") or column.startswith("latency_"):
                name = column if column.endswith("_ms") else f"{column.removeprefix('latency_')}_ms"
                latencies.setdefault(name, []).append(_milliseconds(row, column) if text else "")
    return codes, latencies


def _milliseconds(row: Row, column: str) -> str:
    """To the digit, once it is known to be a latency."""
    MILLISECONDS.decimal(f"{row.where(column)}: {column}", row.cells[column])
    return row.cells[column]


def _rows(path: Path, columns: Sequence[str]) -> list[Row]:
    text = read_csv_text(path, "a list of networks", header=False, ended=False)
    missing = [column for column in columns if not text.rows or column not in text.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing, or there are no rows")
    return list(text.rows)
