"""Many sub-networks on the same images: equal beginnings run once.

Sub-networks of one resolution share their stem and first block, and those that also choose alike in the first layers
share those. Their blocks form a tree; each node runs once a batch. Every operation is the one that a sub-network alone
runs, on the same values, so that statistics and logits are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.networks.calibrate import pooled_statistics
from ofa.networks.elastic import Normalise, run_elastic
from ofa.networks.layers import memory_format_of
from ofa.networks.statistics import BatchNormStatistics, PooledMoments, collect_statistics, given_statistics
from ofa.networks.supernet import Supernet, blocks_at
from ofa.space import Subnet


@dataclass(eq=False)
class _Node:
    """A block of one or several sub-networks, below those that come before it.

    member: the number of one of the sub-networks; ending: the numbers of those whose last block it is
    """

    layer: nn.Module
    block: Block
    member: int
    children: dict[tuple[int, Block], _Node] = field(default_factory=dict)
    ending: list[int] = field(default_factory=list)


class SubnetTree:
    """Sub-networks of a supernet, all of one resolution, to calibrate and evaluate together.

    Most is shared by sub-networks that are neighbours when sorted by their blocks. Memory: the feature maps of one
    path from stem to classifier for a batch, and the statistics of all.
    """

    def __init__(self, net: Supernet, subnets: Sequence[Subnet]) -> None:
        if len({subnet.resolution for subnet in subnets}) != 1:
            raise InputError("sub-networks that run together are expected to be of one resolution")
        self.net, self.subnets = net, tuple(subnets)
        layers = list(net.children())
        self._first: dict[tuple[int, Block], _Node] = {}
        self._paths: list[list[_Node]] = []
        for number, subnet in enumerate(subnets):
            children, path = self._first, list[_Node]()
            for position, block in enumerate(blocks_at(net.space, subnet)):
                if block is not None:
                    node = children.setdefault((position, block), _Node(layers[position], block, number))
                    path.append(node)
                    children = node.children
            path[-1].ending.append(number)
            self._paths.append(path)

    def calibrate(self, batches: Iterable[Tensor]) -> list[BatchNormStatistics]:
        """The statistics of every sub-network, as `ofa.networks.calibrate_bn` makes them of images (N, 3, R, R)."""
        names = self.net.batch_norm_names()
        device, dtype = (getattr(next(self.net.parameters()), what) for what in ("device", "dtype"))
        moments: dict[_Node, dict[str, PooledMoments]] = {node: {} for path in self._paths for node in path}
        images_seen = 0
        with torch.no_grad():
            for images in batches:
                images_seen += len(images)
                self._walk(images.to(device), lambda node: collect_statistics(names, moments[node]))
        if not images_seen:
            raise InputError("calibrating batch normalisation needs at least one batch of images")
        found = []
        for subnet, path in zip(self.subnets, self._paths, strict=True):
            merged = {name: pooled for node in path for name, pooled in moments[node].items()}
            found.append(pooled_statistics(subnet, merged, images_seen, dtype))
        return found

    def logits(self, images: Tensor, statistics: Sequence[BatchNormStatistics]) -> list[Tensor]:
        """(N, classes) of every sub-network for images (N, 3, R, R), by the statistics of `calibrate`."""
        names = self.net.batch_norm_names()
        with torch.inference_mode():
            return self._walk(images, lambda node: given_statistics(names, statistics[node.member]))

    def _walk(self, images: Tensor, normalise: Callable[[_Node], Normalise]) -> list[Tensor]:
        outputs: dict[int, Tensor] = {}

        def below(children: dict[tuple[int, Block], _Node], x: Tensor) -> None:
            for node in children.values():
                out = run_elastic(node.layer, x, node.block, normalise(node))
                outputs.update(dict.fromkeys(node.ending, out))
                below(node.children, out)

        below(self._first, images.contiguous(memory_format=memory_format_of(self.net)))
        return [outputs[number] for number in range(len(self.subnets))]
