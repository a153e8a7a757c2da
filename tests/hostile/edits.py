"""Edits of sound files: what someone could make of them."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .format import metadata_of, safetensors, with_metadata

Edit = Callable[[dict[str, bytes]], dict[str, bytes]]
DIGITS = "9" * 5000
WIDE = "\uff11\uff10"  # full-width 10, which Python's int takes
GONE = object()


def edited(file: str, change: Callable[[bytes], bytes], files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, file: change(files[file])}


def put(file: str, content: bytes | str) -> Edit:
    """Another content of a file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda files: {**files, file: data}


def swap(file: str, old: str, new: str) -> Edit:
    """The first `old` of a file is `new`."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content, f"{file} has no {old}"
        return content.replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)

    return partial(edited, file, change)


def without(file: str) -> Edit:
    return lambda files: {name: content for name, content in files.items() if name != file}


def at(file: str, *path: Any, value: Any) -> Edit:
    """JSON with another value at a path; GONE: without the key."""

    def change(content: bytes) -> bytes:
        whole = json.loads(content)
        inner = whole
        for key in path[:-1]:
            inner = inner[key]
        if value is GONE:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return json.dumps(whole).encode()

    return partial(edited, file, change)


def lies(file: str, **changes: Any) -> Edit:
    """A safetensors file with other metadata."""
    return partial(edited, file, lambda content: with_metadata(content, **changes))


def config_lies(file: str, **changes: Any) -> Edit:
    """A safetensors file whose metadata's `config` says something else."""

    def change(content: bytes) -> bytes:
        config = json.loads(metadata_of(content)["config"])
        return with_metadata(
            content, config=json.dumps({k: v for k, v in {**config, **changes}.items() if v is not GONE})
        )

    return partial(edited, file, change)


def images_lie(file: str, **changes: Any) -> Edit:
    def change(content: bytes) -> bytes:
        facts = json.loads(metadata_of(content)["images"])
        return with_metadata(
            content, images=json.dumps({k: v for k, v in {**facts, **changes}.items() if v is not GONE})
        )

    return partial(edited, file, change)


def line(file: str, number: int, /, **changes: Any) -> Edit:
    """A line of JSON Lines with other fields."""

    def change(content: bytes) -> bytes:
        lines = content.splitlines()
        record = {k: v for k, v in {**json.loads(lines[number]), **changes}.items() if v is not GONE}
        return b"\n".join([*lines[:number], json.dumps(record).encode(), *lines[number + 1 :], b""])

    return partial(edited, file, change)


def safetensors_cases(file: str) -> dict[str, Edit]:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "length-beyond": put(file, struct.pack("<Q", 1 << 40) + b"{" + b"a" * 100),
        "shape-1e9": put(file, safetensors({"a": {**tensor, "shape": [10**9, 10**9]}}, bytes(8))),
        "shape-negative": put(file, safetensors({"a": {**tensor, "shape": [-1]}}, bytes(8))),
        "offsets-backwards": put(file, safetensors({"a": {**tensor, "data_offsets": [8, 0]}}, bytes(8))),
        "dtype-unknown": put(file, safetensors({"a": {**tensor, "dtype": "F9"}}, bytes(8))),
        "metadata-number": put(file, safetensors({"__metadata__": {"format": 1}, "a": tensor}, bytes(8))),
        "no-tensors": put(file, safetensors({"__metadata__": {"format": "ofa-supernet/1"}})),
    }


def torch_file(content: Any) -> Edit:
    """The main file is a torch.save of something else."""

    def change(_: bytes) -> bytes:
        import torch

        file = io.BytesIO()
        torch.save(content() if callable(content) else content, file)
        return file.getvalue()

    return lambda files: {name: change(data) if name.endswith(".pth") else data for name, data in files.items()}


def tensors(**shapes: Any) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        import torch

        return {
            name.replace("_", "."): torch.ones(shape) if isinstance(shape, tuple) else shape(torch)
            for name, shape in shapes.items()
        }

    return made


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return (Path("/tmp/never").touch, ())


def version(file: str) -> Edit:
    """A zip whose last member is to be read by a zip of version 10.4."""

    def change(content: bytes) -> bytes:
        entry = content.rindex(b"PK\x01\x02")
        return content[: entry + 6] + struct.pack("<H", 104) + content[entry + 8 :]

    return partial(edited, file, change)


def disks(file: str) -> Edit:
    """A zip that says that it is one of two."""
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 2)
    return partial(edited, file, lambda content: content[:-22] + locator + content[-22:])
