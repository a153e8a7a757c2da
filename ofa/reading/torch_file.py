"""The one reader of torch's files: tensors by name, by the weights-only unpickler; no file's code is ever run."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import short
from ofa.reading.zip_file import DAMAGED, is_zip

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPED = ("state_dict", "model")  # the keys that weights stand under, where not at the top


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, on the CPU.

    Raises InputError where the file is absent, damaged, would run code, would unpack to more than it holds, or has
    anything but dense tensors under names.
    """
    import torch

    _check_zip(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception:  # whatever a damaged or hostile pickle provokes
        # torch's own words advise to turn its protection off, which is not for files from elsewhere
        raise InputError(
            f"{path}: not a checkpoint of tensors alone: damaged, or it would run code, which is refused"
        ) from None
    for key in _WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected tensors by name, or a state_dict of them")
    for name, value in content.items():
        _check_tensor(path, name, value)
    return dict(content)


def _check_zip(path: Path) -> None:
    """torch stores its entries as they are. Packed ones make 6 GB of 6 MB before anything can be checked."""
    refuse_endless(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not is_zip(path):
        return  # the older format: a bare pickle
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (*DAMAGED, OSError) as error:
        raise InputError(f"{path}: damaged: {ascii(str(error))[1:-1]}") from None
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(f"{path}: its parts are compressed, which torch.save never does: refused")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise InputError(f"{path}: damaged: its parts claim to be larger than the file")


def _check_tensor(path: Path, name: Any, value: Any) -> None:
    from torch import Tensor, strided

    if not isinstance(name, str):
        raise InputError(f"{path}: a tensor is called {short(name)}, expected a name")
    if not isinstance(value, Tensor):
        raise InputError(f"{path}: {short(name)} is a {type(value).__name__}, expected a tensor")
    if value.layout != strided or value.is_quantized or value.numel() * value.element_size() > _stored(value):
        raise InputError(f"{path}: {short(name)} is no dense tensor with values of its own")


def _stored(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
