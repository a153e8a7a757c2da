"""A training run's state in one safetensors file: tensors by group, and where the run is as JSON. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ofa.errors import InputError
from ofa.networks.checkpoint import read_tensors
from ofa.runs.files import replace_file

FORMAT = "ofa-training/2"
CHECKPOINT = "checkpoint.safetensors"


def write_state(path: Path, groups: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Replaces the file, in one step: where writing fails (a full disk), the old file stays, and that is said."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    try:
        replace_file(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))
    except (OSError, SafetensorError) as error:
        kept = "the checkpoint before it is kept" if path.exists() else "there is no checkpoint before it"
        raise InputError(f"{path} cannot be written ({error}); {kept}: make room and go on with --resume") from None


def read_state(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups of tensors, on the CPU, and the facts; InputError where the file is damaged or something else."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of a training run of ours ({FORMAT})")
    try:
        facts = json.loads(metadata["facts"])
    except (KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: damaged checkpoint: {error!r}") from None
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, inner = name.partition("/")
        groups.setdefault(group, {})[inner] = tensor
    return groups, facts


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Where two JSON values differ first: "recipe[2].epochs", and both values there; None where they are equal."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**now, **before}:
            found = first_difference(before.get(key), now.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (one, other) in enumerate(zip(before, now, strict=True)):
            found = first_difference(one, other, f"{name}[{i}]")
            if found:
                return found
        return None
    return None if before == now else (name, before, now)
