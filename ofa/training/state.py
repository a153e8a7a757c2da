"""A training run's state in one safetensors file: tensors by group, and where the run is as JSON. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import Tensor

from ofa.checkpoints.tensors import read_tensors
from ofa.errors import InputError
from ofa.reading.structured import parse_object
from ofa.runs.files import replace_file

FORMAT = "ofa-training/2"
CHECKPOINT = "checkpoint.safetensors"


def write_state(path: Path, groups: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
    """Replaces the file, in one step: where writing fails (a full disk), the old file stays, and that is said.

    Tensors are of types that numpy has. By its arrays, the many small ones are written in half the time.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().numpy()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    try:
        replace_file(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))
    except (OSError, SafetensorError) as error:
        kept = "the checkpoint before it is kept" if path.exists() else "there is no checkpoint before it"
        raise InputError(f"{path} cannot be written ({error}); {kept}: make room and continue with --resume") from None


def read_state(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups of tensors, on the CPU, and the facts; InputError where the file is damaged or something else."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of a training run of ours ({FORMAT})")
    facts = parse_object(metadata.get("facts", ""), f"{path}: damaged checkpoint")
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, inner = name.partition("/")
        groups.setdefault(group, {})[inner] = tensor
    return groups, facts
