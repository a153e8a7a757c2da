"""What a file is, at a glance: so that one that is given where another kind is wanted is called by its name."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.structured import parse_json

TABLE, TIMES = "a latency table", "a file of networks and their latencies"
ACCURACIES, PREDICTOR = "a file of accuracies", "an accuracy predictor"
RESULT, SUBNET, NET_CONFIG = "a result of ofa.search", "a sub-network", "a net.config of the original"
SUPERNET, NETWORK, TORCH = "a supernet", "a specialised network", "a file of torch"
TABLES_TOML, SPACE = "a list of tables to regenerate", "a description of a search space"
JOURNAL, HEADER = "a journal", "the .json beside an accuracy predictor"
ONNX, TFLITE, IMAGE, ZIP = "an ONNX model", "a TFLite model", "an image", "a zip"
WEIGHTS, SUBNETS, PREDICTORS = (SUPERNET, NETWORK, TORCH), (RESULT, SUBNET, NET_CONFIG), (PREDICTOR, TORCH)

GLANCE, MOST = 1 << 16, 1 << 24  # bytes: of any file, and of JSON, which is read whole


def kind_of(path: Path) -> str | None:
    """One of the kinds above; None for what is none of them, damaged, a folder, or not there."""
    try:
        if not path.is_file():  # a pipe may never end
            return None
        with path.open("rb") as file:
            head = file.read(GLANCE)
    except OSError:
        return None
    if head[:4] == b"\x89PNG" or head[:2] == b"\xff\xd8":
        return IMAGE
    if head[4:8] == b"TFL3":
        return TFLITE
    if head[:4] == b"PK\x03\x04":
        return TORCH if b"data.pkl" in head else ZIP
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return TORCH
    if head[8:9] == b"{" and head[:1] != b"{":
        return _of_safetensors(path, head)
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b":", b"r"):
        return ONNX
    text = head.decode("utf-8-sig", "replace")
    return _of_json(path, text) if text.lstrip()[:1] in ("{", "[") and "[[table]]" not in text else _of_lines(text)


def wrong_kind(path: Path, wanted: Sequence[str]) -> str | None:
    """ "is a latency table, expected an accuracy predictor"; None for what is of a wanted kind, or of no known one."""
    kind = kind_of(path) if wanted else None
    return None if kind is None or kind in wanted else f"is {kind}, expected {' or '.join(wanted)}"


def _of_safetensors(path: Path, head: bytes) -> str | None:
    length = struct.unpack("<Q", head[:8])[0]
    if length > MOST:
        return None
    with path.open("rb") as file:
        file.seek(8)
        header = _parsed(file.read(length))
    if not isinstance(header, dict):
        return None
    metadata = header.get("__metadata__")
    stated = str(metadata.get("format", "")) if isinstance(metadata, dict) else ""
    for begin, kind in (("ofa-supernet/", SUPERNET), ("ofa-network/", NETWORK)):
        if stated.startswith(begin):
            return kind
    return PREDICTOR if "levels" in header and path.with_suffix(".json").is_file() else None


def _of_json(path: Path, text: str) -> str | None:
    first = _parsed(text.split("\n", 1)[0].encode("utf-8", "replace"))
    if isinstance(first, dict) and first.get("kind") == "settings":
        return JOURNAL
    content = _parsed(path.read_bytes()) if path.stat().st_size <= MOST else None
    if not isinstance(content, dict):
        return None
    keys = set(content)
    if str(content.get("schema", "")).startswith("ofa-") and "predictor" in str(content["schema"]):
        return HEADER
    for wanted, kind in (
        ({"results"}, RESULT),
        ({"depths", "kernel_sizes"}, SUBNET),
        ({"ks", "e", "d"}, SUBNET),
        ({"blocks", "classifier"}, NET_CONFIG),
    ):
        if wanted <= keys:
            return kind
    return None


def _of_lines(text: str) -> str | None:
    """By the columns of a CSV, or the headings of a TOML file."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return None
    if lines[0].strip() == "[[table]]":
        return TABLES_TOML
    if {"[stem]", "[[units]]"} <= {line.strip() for line in lines}:
        return SPACE
    columns = {column.strip().strip('"') for column in lines[0].split(",")}
    for wanted, kind in (
        ({"op", "latency_ms"}, TABLE),
        ({"top1"}, ACCURACIES),
        ({"Sub-network", "Top-1 Acc (%)"}, ACCURACIES),
    ):
        if wanted <= columns:
            return kind
    timed = {"depths", "network"} & columns and any(column.endswith("_ms") for column in columns)
    return TIMES if timed else None


def _parsed(data: bytes) -> Any:
    try:
        return parse_json(data.decode(), "")
    except (InputError, UnicodeDecodeError, json.JSONDecodeError):
        return None
