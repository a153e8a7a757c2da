"""Lists of whole-network latencies as others published them.

Two formats:

mit   a list of once-for-all's specialised networks, CSV with name, device, image_size and latency_ms, and next to it a
      folder `specialized` with each one's net.config as NAME.net.json
help  the CSV of HELP's random OFA-MobileNetV3 sub-networks: resolution, depths, kernel_sizes, expand_ratios, and a
      column of milliseconds for every device and batch; the width is not in it and is told by --space
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from ofa.errors import InputError
from ofa.space import Subnet, get_space
from ofa.space.mit_format import subnet_from_net_config

Networks = list[tuple[str, Subnet]]


def read_mit(path: Path, device: str) -> tuple[Networks, dict[str, list[str]], list[str]]:
    """Networks, latencies and names of one device of the list."""
    networks: Networks = []
    latencies, names = [], []
    for row in _rows(path, ("name", "device", "image_size", "latency_ms")):
        if row["device"] == device:
            config = path.parent / "specialized" / f"{row['name']}.net.json"
            try:
                space, subnet = subnet_from_net_config(json.loads(config.read_text()), int(row["image_size"]))
            except ValueError as error:
                raise InputError(f"{config}: {error}") from None
            networks.append((space.name, subnet))
            latencies.append(row["latency_ms"])
            names.append(row["name"])
    if not networks:
        raise InputError(f"{path} lists no network of {device}")
    return networks, {"latency_ms": latencies}, names


def read_help(path: Path, space_name: str, every: int) -> tuple[Networks, dict[str, list[str]]]:
    """Every so many-th network, and its latencies by device and batch."""
    rows = _rows(path, ("resolution", "depths", "kernel_sizes", "expand_ratios"))[::every]
    space = get_space(space_name)
    networks: Networks = []
    for row in rows:
        lists = {f: [int(n) for n in row[f].split()] for f in ("depths", "kernel_sizes", "expand_ratios")}
        networks.append((space.name, space.subnet(**lists, resolution=int(row["resolution"]))))
    return networks, {column: [row[column] for row in rows] for column in rows[0] if column.endswith("_ms")}


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing, or there are no rows")
    return rows
