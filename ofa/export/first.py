"""What an export can know to be wrong before torch is loaded."""

from __future__ import annotations

from ofa.checkpoints.shipped import shipped_checkpoint
from ofa.checkpoints.subnet_file import NamedSubnet, read_subnet
from ofa.errors import InputError
from ofa.export.config import ExportConfig
from ofa.export.quantize import check_quantizer
from ofa.optional_packages import require
from ofa.published.opening import open_network
from ofa.runs.places import check_writable
from ofa.space import checked_resolution


def check_first(config: ExportConfig) -> NamedSubnet | None:
    """The sub-network that is asked for, if one is named by a file; InputError for what will fail without more."""
    if config.int8:
        check_quantizer(config.format)
        if config.calibration is None:
            raise InputError("--int8 takes its ranges from real images: give a folder or zip with --calibration")
    if config.format == "coreml":
        require("coremltools", "--format coreml")
    if config.opset is not None:
        from ofa.export.interface.opsets import check_opset

        check_opset(config.opset, int8=config.int8)
    if config.out is not None:
        check_writable(config.out)
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
