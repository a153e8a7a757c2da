"""The supernets that come with the package. Without torch: what is not there is said at once."""

from __future__ import annotations

from pathlib import Path

import ofa
from ofa.checkpoints.subnet_file import NamedSubnet
from ofa.errors import InputError

WEIGHTS = Path(ofa.__file__).parent / "networks" / "weights"  # a supernet a space, each with its model card


def shipped_checkpoint(named: NamedSubnet | None, space_name: str | None = None) -> Path:
    """The supernet that comes with the package for a sub-network's space; InputError names those that exist."""
    name = space_name or ("" if named is None else named.space)
    path = WEIGHTS / f"{name}.safetensors"
    if named is None or not path.is_file():
        shipped = ", ".join(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
        what = "without a sub-network" if named is None else f"for {name or f'{named.path}, which names no space'}"
        raise InputError(f"no supernet is shipped {what} (there is one for {shipped}): give --checkpoint")
    return path


def is_shipped(space_name: str) -> bool:
    """Whether a supernet of the space comes with the package, so that no --checkpoint is needed."""
    return (WEIGHTS / f"{space_name}.safetensors").is_file()
