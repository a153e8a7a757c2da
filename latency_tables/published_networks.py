"""Imports whole-network latencies published by others: `python -m latency_tables.convert_networks --help`.

Two formats:

mit   a list of once-for-all's specialised networks, CSV with name, device, image_size and latency_ms, and next to it a
      folder `specialized` with each one's net.config as NAME.net.json
help  the CSV of HELP's random OFA-MobileNetV3 sub-networks: resolution, depths, kernel_sizes, expand_ratios, and a
      column of milliseconds for every device and batch; the width is not in it and is told by --space
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.space import Subnet, get_space
from ofa.space.mit_format import subnet_from_net_config
from ofa.tables.network_times import write_networks

Networks = list[tuple[str, Subnet]]


@dataclass(frozen=True, kw_only=True)
class ConvertNetworksOptions:
    """Whole-network latencies that others published."""

    file: Path
    """the published list"""

    format: str
    """how it is written, mit or help"""

    source: str
    """who published it, where, under which licence"""

    out: Path
    """the CSV to write"""

    only: str | None = None
    """mit: the list's name of the device"""

    space: str = "mbv3-w1.2"
    """help: the space of the networks"""

    every: int = 1
    """help: only every N-th network"""

    device: str | None = None
    """what was measured, if it is one device"""

    batch: str = "1"
    """images a run"""


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


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m latency_tables.convert_networks",
        description="Import whole-network latencies published by others, for python -m profilers.transfer.",
        epilog="example: python -m latency_tables.convert_networks published.csv --format mit --only note8 "
        '--device "Samsung Galaxy Note8" --source "once-for-all" --out latency_tables/networks/note8.csv',
    )
    add = parsed.add_argument
    add("file", type=Path, help="the published list")
    add("--format", choices=("mit", "help"), required=True, help="how it is written")
    add("--only", metavar="D", help="mit: the list's name of the device")
    add("--space", default="mbv3-w1.2", metavar="S", help="help: the space of the networks (default mbv3-w1.2)")
    add("--every", type=int, default=1, metavar="N", help="help: only every N-th network (default 1: all)")
    add("--device", metavar="D", help="what was measured, if it is one device")
    add("--batch", default="1", metavar="N", help="images a run (default 1); several are told by the columns' names")
    add("--source", required=True, help="who published it, where, under which licence")
    add("--out", type=Path, required=True, help="the CSV to write")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    options = ConvertNetworksOptions(**vars(parser().parse_args(argv)))
    print(f"wrote {options.out}: {convert_networks(options)} networks")
    return 0


def convert_networks(options: ConvertNetworksOptions) -> int:
    """Writes the networks of a published list; how many. InputError names what cannot be read."""
    header = {"source": options.source}
    names: list[str] = []
    if options.format == "mit":
        if not options.only or not options.device:
            raise InputError("--format mit needs --only and --device")
        networks, latencies, names = read_mit(options.file, options.only)
        header = {"device": options.device, "batch": options.batch, **header}
    else:
        networks, latencies = read_help(options.file, options.space, options.every)
    write_networks(options.out, header, networks, latencies, names)
    return len(networks)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
