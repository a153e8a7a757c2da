"""Networks of FBNet's space (Wu et al. 2019), as HW-NAS-Bench and HELP number their blocks.

    fbnet_blocks("5 3 5 5 0 4 7 5 5 2 0 2 4 5 1 3 7 2 6 0 4 0")

Twenty-two positions, each with one of nine choices. The images are CIFAR-100's, of 32 px: the stem and the second stage
keep their size there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.published.network import BlockChain, PublishedNetwork
from ofa.reading.numbers import plain_whole, short

# by number; kernel size, expand ratio, groups of the 1x1 convolutions; "skip" is a 1x1 convolution where the block
# changes size or channels, and nothing elsewhere
CHOICES = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
SKIP = CHOICES.index("skip")
# channels, blocks, stride of the first
STAGES = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
STEM, HEAD, CLASSES, RESOLUTION = 16, 1504, 100, 32
POSITIONS = sum(count for _, count, _ in STAGES)


def fbnet_choices(text: str) -> tuple[int, ...]:
    """The choices of a network, from numbers or names with spaces between; InputError names all that are wrong."""
    words = text.split()
    found = [CHOICES.index(word) if word in CHOICES else plain_whole(word) for word in words]
    faults = [
        f"position {i} is {short(word)}"
        for i, (word, number) in enumerate(zip(words, found, strict=True))
        if number is None or not 0 <= number < len(CHOICES)
    ]
    if len(words) != POSITIONS:
        faults.insert(0, f"{len(words)} choices, expected {POSITIONS}")
    if faults:
        known = ", ".join(f"{i} {name}" for i, name in enumerate(CHOICES))
        more = f", and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise InputError(f"FBNet: {', '.join(faults[:8])}{more}; choices are {known}")
    return tuple(number for number in found if number is not None)


def fbnet_network(choices: Sequence[int]) -> PublishedNetwork:
    """The network with these choices, one a position, as `fbnet_choices` gives them."""
    numbers = " ".join(map(str, choices))

    def build(chain: BlockChain) -> None:
        chain.conv(STEM, 3, 1, "relu")
        rest = iter(choices)
        for channels, count, stride in STAGES:
            for i in range(count):
                _add(chain, next(rest), channels, stride if i == 0 else 1)
        chain.conv(HEAD, 1, 1, "relu")
        chain.pool()

    source = "arXiv 1812.03443; blocks as in HW-NAS-Bench, numbered as there"
    return PublishedNetwork(f"fbnet:{numbers}", f"FBNet {numbers}", source, build, RESOLUTION, CLASSES)


def _add(chain: BlockChain, choice: int, channels: int, stride: int) -> None:
    if choice == SKIP:
        if stride == 2 or channels != chain.channels:
            chain.conv(channels, 1, stride, "relu")
        return
    kernel, expand, *grouped = CHOICES[choice].split("_")
    op = "uib_g2" if grouped else "uib"
    chain.inverted(channels, int(kernel[1:]), stride, "relu", expand=int(expand[1:]), op=op)


def fbnet_blocks(text: str, resolution: int = RESOLUTION, num_classes: int = CLASSES) -> tuple[Block, ...]:
    """The blocks of a network, given by its choices as in `fbnet_choices`."""
    return fbnet_network(fbnet_choices(text)).blocks(resolution, num_classes)
