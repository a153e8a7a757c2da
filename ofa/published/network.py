"""A published network: its layers as rows like those of its paper, which become blocks at a resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ofa.blocks import Block
from ofa.blocks.costs import block_macs, block_params
from ofa.errors import InputError
from ofa.reading.numbers import short

# a network halves its image five times: below this, maps shrink to a pixel before its end
SMALLEST, LARGEST = 32, 1024


class BlockChain:
    """Blocks one after the other, the first on an image: each takes its size and channels from the one before."""

    def __init__(self, resolution: int) -> None:
        self.blocks: list[Block] = []
        self.size, self.channels = resolution, 3

    def add(
        self,
        op: str,
        channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        activation: str = "none",
        *,
        inside: int = 0,
        se: bool = False,
        skip: bool = False,
    ) -> None:
        """Appends a block with so many channels at its output."""
        block = Block(op, self.size, self.channels, inside, channels, kernel_size, stride, activation, se, skip)
        self.blocks.append(block)
        self.size, self.channels = block.out_size, channels

    def conv(self, channels: int, kernel_size: int, stride: int, activation: str) -> None:
        self.add("conv", channels, kernel_size, stride, activation)

    def residual(
        self, op: str, channels: int, kernel_size: int, stride: int, activation: str, inside: int = 0, se: bool = False
    ) -> None:
        """A block that adds its input wherever it can."""
        skip = stride == 1 and channels == self.channels
        self.add(op, channels, kernel_size, stride, activation, inside=inside, se=se, skip=skip)

    def inverted(
        self, channels: int, kernel_size: int, stride: int, activation: str, *, expand: int, op: str = "mbconv"
    ) -> None:
        """An inverted residual whose inside is so many times as wide as its input."""
        self.residual(op, channels, kernel_size, stride, activation, expand * self.channels, se=op == "mbconv_se_in")

    def separable(self, channels: int, stride: int, activation: str) -> None:
        self.add("separable_conv", channels, 3, stride, activation)

    def classifier(self, num_classes: int) -> None:
        """Of pooled features."""
        self.add("linear", num_classes)

    def pool(self) -> None:
        self.add("global_pool", self.channels)


@dataclass(frozen=True, eq=False)
class PublishedNetwork:
    """name: much as timm and torchvision call it; title: as its authors do

    source: its paper, and what settles what the paper leaves open
    build: appends all blocks but the classifier
    resolution, num_classes: of the images that it was made for
    """

    name: str
    title: str
    source: str
    build: Callable[[BlockChain], None]
    resolution: int = 224
    num_classes: int = 1000

    def blocks(self, resolution: int | None = None, num_classes: int | None = None) -> tuple[Block, ...]:
        """From images of (3, resolution, resolution) to logits. InputError for a resolution that is none."""
        resolution = self.resolution if resolution is None else resolution
        if not SMALLEST <= resolution <= LARGEST:
            raise InputError(f"resolution is {short(resolution)}, expected {SMALLEST} to {LARGEST} px")
        chain = BlockChain(resolution)
        self.build(chain)
        chain.classifier(self.num_classes if num_classes is None else num_classes)
        return tuple(chain.blocks)

    def macs(self, resolution: int | None = None) -> int:
        """Multiply-accumulates of one image."""
        return sum(map(block_macs, self.blocks(resolution)))

    @property
    def params(self) -> int:
        """With its own classifier, and batch normalisation's scale and shift."""
        return sum(map(block_params, self.blocks()))
