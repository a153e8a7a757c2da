"""Whole networks that are in no space, written in one cell of a CSV file, as blocks.

    chain:224 conv>32k3s2relu mbconv:32>16k3s1relu+skip ...       operator, channels inside, at its end, kernel, stride
    mnasnet:6 4 1 1 4 4 6|3 5 3 3 3 5 3|1 2 2 3 2 1 2|0 0 0 1 0 0 0   expand ratios, kernels, layers, squeeze-and-excite
    fbnet:5 3 5 5 0 4 7 5 5 2 0 2 4 5 1 3 7 2 6 0 4 0               choices of FBNet's space

A chain has the side of its images first; each block takes its size and channels from the one before. `se` and `skip`
end a block that has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.published.fbnet import fbnet_blocks
from ofa.published.network import BlockChain
from ofa.reading.numbers import CHANNELS, PIXELS, Bounds, short

_BLOCK = re.compile(
    r"([a-z][a-z0-9_]*)(?::([0-9]{1,6}))?>([0-9]{1,6})k([0-9])s([0-9])([a-z][a-z0-9_]*)(\+se)?(\+skip)?"
)
_MOST = 1000  # blocks of a chain
# Accel-NASBench's space: channels, stride of each stage's first layer; stem, head, classes and side of the images
_MNASNET = ((16, 1), (24, 2), (40, 2), (80, 2), (112, 1), (192, 2), (320, 1))
_STEM, _HEAD, _CLASSES, _SIDE = 32, 1280, 1000, 224
_CODES = {"expand ratio": Bounds(1, 8, "times"), "kernel": Bounds(3, 7, "pixels"), "layers": Bounds(1, 8, "layers"),
          "squeeze-and-excite": Bounds(0, 1, "squeeze-and-excites")}  # fmt: skip


def blocks_of_code(text: str) -> tuple[Block, ...]:
    """The blocks of a network; InputError names what is wrong."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("chain", "mnasnet", "fbnet"):
        raise InputError(f"network is {short(text)}, expected chain:..., mnasnet:... or fbnet:...")
    if kind == "fbnet":
        return fbnet_blocks(rest)
    return _of_chain(rest) if kind == "chain" else _of_mnasnet(rest)


def code_of_blocks(blocks: Sequence[Block]) -> str:
    """A chain, which `blocks_of_code` reads; ValueError for blocks that do not follow each other."""
    text = " ".join(
        f"{b.op}{f':{b.mid_channels}' if b.mid_channels else ''}>{b.out_channels}k{b.kernel_size}s{b.stride}"
        f"{b.activation}{'+se' * b.squeeze_excite}{'+skip' * b.skip}"
        for b in blocks
    )
    code = f"chain:{blocks[0].in_size} {text}"
    if blocks_of_code(code) != tuple(blocks):
        raise ValueError("blocks that do not follow each other")
    return code


def _of_chain(text: str) -> tuple[Block, ...]:
    side, *words = text.split() or [""]
    if not words or len(words) > _MOST:
        raise InputError(f"network is a chain of {len(words)} blocks, expected 1 to {_MOST}")
    chain = BlockChain(PIXELS.integer("network: side of its images", side))
    for word in words:
        match = _BLOCK.fullmatch(word)
        if match is None:
            raise InputError(f"network: block {short(word)} is not such as mbconv:96>24k3s2relu6+se+skip")
        op, inside, out, kernel, stride, activation, se, skip = match.groups()
        chain.add(
            op,
            CHANNELS.integer("network: channels", out),
            int(kernel),
            int(stride),
            activation,
            inside=int(inside or 0),
            se=bool(se),
            skip=bool(skip),
        )
    return tuple(chain.blocks)


def _of_mnasnet(text: str) -> tuple[Block, ...]:
    parts = [part.split() for part in text.split("|")]
    if len(parts) != len(_CODES) or any(len(part) != len(_MNASNET) for part in parts):
        raise InputError(f"network is mnasnet:{short(text)}, expected four lists of {len(_MNASNET)} numbers")
    expands, kernels, layers, gates = (
        [bounds.integer(f"network: {name}", number) for number in part]
        for (name, bounds), part in zip(_CODES.items(), parts, strict=True)
    )
    chain = BlockChain(_SIDE)
    chain.conv(_STEM, 3, 2, "relu6")
    for (channels, stride), expand, kernel, count, gated in zip(_MNASNET, expands, kernels, layers, gates, strict=True):
        for i in range(count):
            op = "mbconv_se_in" if gated else "mbconv"
            chain.inverted(channels, kernel, stride if i == 0 else 1, "relu6", expand=expand, op=op)
    chain.conv(_HEAD, 1, 1, "relu6")
    chain.pool()
    chain.classifier(_CLASSES)
    return tuple(chain.blocks)
