"""The tensors and the metadata of a file, ours or the original's. No file's code is ever run."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import cut
from ofa.reading.torch_file import read_torch_file


def read_tensors(path: str | os.PathLike[str], only: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors or torch file, on the CPU, and a safetensors file's metadata.

    only: the tensor of this name, if it is there; the others of a safetensors file are not read
    Raises InputError where the file is absent, damaged, would run code, or holds anything but tensors.
    """
    path = Path(path)
    if _is_safetensors(path):
        try:
            with safe_open(path, framework="pt") as opened:
                # copied: what is mapped into memory could not be replaced on Windows
                names = [name for name in opened.keys() if only in (None, name)]  # noqa: SIM118
                return {name: opened.get_tensor(name).clone() for name in names}, opened.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: damaged safetensors file: {cut(error, 200)}") from None
    return read_torch_file(path), {}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """A safetensors file's metadata, empty for a torch file; no tensor is read. InputError as of `read_tensors`."""
    path = Path(path)
    if not _is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged safetensors file: {cut(error, 200)}") from None


def _is_safetensors(path: Path) -> bool:
    refuse_endless(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        return file.read(9)[8:9] == b"{"
