"""One sub-network, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OF_SOME = ("width_mults", "start_kernels", "squeeze_excites")  # fields that not every space has


@dataclass(frozen=True)
class Subnet:
    """One sub-network. Make it with `SearchSpace.subnet`, which validates.

    kernel_sizes: one per elastic layer, 0 where the layer is skipped (empty for ResNet50D)
    expand_ratios: one per elastic layer, 0 where the layer is skipped
    depths: one per unit (ResNet50D: 2 or 0 for the stem's residual block, then extra blocks a stage)
    resolution: side of the square input image, pixels
    width_mults: ResNet50D only: stem inner, stem outer, then one per stage
    start_kernels: of spaces whose blocks may begin with a depthwise convolution: its kernel, one per elastic layer, 0
        for none
    squeeze_excites: of spaces where squeeze-and-excite is a choice: one per elastic layer, 1 for a layer that has it
    """

    kernel_sizes: tuple[int, ...]
    expand_ratios: tuple[float, ...]
    depths: tuple[int, ...]
    resolution: int
    width_mults: tuple[float, ...] = ()
    start_kernels: tuple[int, ...] = ()
    squeeze_excites: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `SearchSpace.subnet_from_dict` reads it back."""
        fields = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        for key in OF_SOME:
            if not fields[key]:
                del fields[key]
        return fields
