"""What an export can know to be wrong before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.checkpoints.shipped import shipped_checkpoint
from ofa.checkpoints.subnet_file import NamedSubnet, read_subnet
from ofa.errors import InputError
from ofa.export.config import SUFFIXES, ExportConfig
from ofa.export.quantize import INT8_FORMATS, check_int8
from ofa.optional_packages import require
from ofa.published.opening import open_network
from ofa.reading.numbers import short
from ofa.runs.places import check_writable
from ofa.space import checked_resolution
from ofa.tables.header import FLOATS, INT8


def unlike_searched(config: ExportConfig, searched: Mapping[str, Any]) -> str | None:
    """A warning where the file is of another type than the table that its network was searched by; None elsewhere.

    searched: what the search said of it (`NamedSubnet.facts`)
    """
    dtype, table = searched.get("dtype"), short(searched.get("table"))
    if dtype == INT8 and not config.int8 and config.format != "safetensors":
        way = (
            "add --int8 and --calibration DIR"
            if config.format in INT8_FORMATS
            else "take --format onnx or tflite, --int8"
        )
        return (
            f"the network was searched for int8 (table {table}), and is exported in float32: its latency is not the "
            f"table's: {way}, or search by a table of float32"
        )
    if config.int8 and dtype in FLOATS:
        return (
            f"the network was searched for {dtype} (table {table}), and is exported in int8: its latency is not the "
            "table's, and what int8 costs of its accuracy was not counted: search by a table of int8 (--dtype int8 of "
            "the profiler), or leave --int8 out"
        )
    return None


def check_first(config: ExportConfig) -> NamedSubnet | None:
    """The sub-network that is asked for, if one is named by a file; InputError for what will fail without more."""
    if config.int8:
        check_int8(config.format)
        if config.calibration is None:
            raise InputError("--int8 takes its ranges from real images: give a folder or zip with --calibration")
    if config.format == "coreml":
        require("coremltools", "--format coreml")
    if config.opset is not None:
        from ofa.export.interface.opsets import check_opset

        check_opset(config.opset, int8=config.int8)
    if config.out is not None:
        check_writable(config.out)
        _check_replaced(config.out, config.format)
    if config.network is not None:
        open_network(config.network, config.resolution).require_file_size()
        return None
    named = None
    if config.subnet is not None:
        named = read_subnet(config.subnet, index=config.index, limit_ms=config.limit)
    if named is not None and named.space and config.space in (None, named.space):
        space = named.known_space()
        checked_resolution(config.resolution or named.resolution)
        named.subnet(space)
    if config.checkpoint is None:
        shipped_checkpoint(named, config.space)
    return named


def _check_replaced(out: Path, kind: str) -> None:
    """InputError where a text is there, such as a list of blocks or a program: no model file is one."""
    if out.suffix == SUFFIXES[kind] or not out.is_file():
        return
    with out.open("rb") as file:
        head = file.read(4096)
    if head and b"\0" not in head:
        raise InputError(f"--out {out} is there, and is no {kind} file: name another file, or move that one away")
