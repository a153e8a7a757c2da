"""A network as a list of blocks, whether named, given in a file, or of a family: what commands measure and price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ofa.blocks import Block
from ofa.blocks.costs import block_macs, block_params, block_peak_elements
from ofa.errors import InputError
from ofa.reading.numbers import PIXELS

MOST_PARAMS = 500_000_000  # of float32: ONNX and TFLite end at 2 GB


@dataclass(frozen=True)
class BlockNetwork:
    """name: to tell it from others; blocks: from an image on, one after the other

    source: its paper, or the file
    top1: ImageNet top-1 as whoever made the file states it, per cent; None where it is not stated
    """

    name: str
    blocks: tuple[Block, ...]
    source: str
    top1: float | None = None

    @property
    def resolution(self) -> int:
        """Side of its images, pixels."""
        return self.blocks[0].in_size

    @property
    def num_classes(self) -> int | None:
        """None where it does not end in a classifier."""
        last = self.blocks[-1]
        return last.out_channels if last.op == "linear" else None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(map(block_macs, self.blocks))

    @property
    def params(self) -> int:
        return sum(map(block_params, self.blocks))

    @property
    def peak_elements(self) -> int:
        """Activation values alive at the worst moment, for one image."""
        return max(map(block_peak_elements, self.blocks))

    def require_file_size(self) -> None:
        """InputError where no file of the formats here holds the weights: before memory is full of them."""
        if self.params > MOST_PARAMS:
            raise InputError(
                f"{self.name}: {self.params:,} parameters: models of more than {MOST_PARAMS:,} (2 GB) are not written"
            )

    def at(self, resolution: int) -> BlockNetwork:
        """On images of another size."""
        PIXELS.check("resolution", resolution)
        return replace(self, blocks=resized(self.blocks, resolution))

    def of_classes(self, num_classes: int) -> BlockNetwork:
        """With another classifier; InputError where there is none."""
        if self.num_classes is None:
            raise InputError(f"{self.name}: its last block is {self.blocks[-1].op}, and classes are of a linear one")
        return replace(self, blocks=(*self.blocks[:-1], replace(self.blocks[-1], out_channels=num_classes)))


def resized(blocks: Sequence[Block], resolution: int) -> tuple[Block, ...]:
    """The same blocks, sized for images of another side."""
    size, result = resolution, []
    for block in blocks:
        result.append(replace(block, in_size=size))
        size = result[-1].out_size
    return tuple(result)
