"""The once-for-all network: the largest network of a space, any sub-network of which can be run.

One class serves all spaces: it holds a layer for each slot of `ofa.blocks.slots_of(space)`, built at the
slot's largest block, and runs the block that the sub-network has there. So the network is made of exactly the
blocks that are measured, searched and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from torch import Tensor, nn

from ofa.blocks import Block, Slot, index_of, slots_of
from ofa.errors import InputError
from ofa.networks.elastic import (
    ElasticKernelLayer,
    Normalise,
    RunBlock,
    Take,
    elastic_kernels,
    first,
    run_elastic,
)
from ofa.networks.layers import Layer, init_weights, memory_format_of, use_channels_last
from ofa.networks.statistics import BatchNormStatistics, given_statistics, stored_statistics
from ofa.space import RESOLUTIONS, SearchSpace, Subnet, checked_resolutions


class Supernet(nn.Module):
    """A supernet. Call it with images and a sub-network; it remembers neither.

    Its layers are its children, in network order, named after their slots: "stem", "unit_1_layer_1", "classifier".
    Make it with `build_supernet`.

    resolutions: those that it is trained at, pixels; it runs at any
    """

    def __init__(self, space: SearchSpace, dropout: float = 0.1, resolutions: Iterable[int] = RESOLUTIONS) -> None:
        super().__init__()
        self.space, self.resolutions = space, checked_resolutions(resolutions)
        self.bn_eps = space.bn_eps
        self.dropout = dropout
        for slot in slots_of(space):
            self.add_module(layer_name(slot), self._layer(slot))
        use_channels_last(self)

    def _layer(self, slot: Slot) -> Layer:
        largest = slot.blocks[-1]  # every choice is listed in ascending order
        assert largest is not None
        if kernels := elastic_kernels(block for block in slot.blocks if block is not None):
            return ElasticKernelLayer(largest, kernels, bn_eps=self.bn_eps)
        return Layer(largest, bn_eps=self.bn_eps, dropout=self.dropout)

    def forward(self, images: Tensor, subnet: Subnet, statistics: BatchNormStatistics | None = None) -> Tensor:
        """(N, classes) logits of the sub-network for images (N, 3, R, R), R being the sub-network's resolution.

        Batch normalisation uses `statistics` where given; else the batch in training mode (whose running
        statistics are updated), and the network's running statistics in evaluation mode.
        Raises InputError for images of another size, and for a sub-network or statistics of another network.
        """
        if statistics is None:
            return self.run(images, subnet, stored_statistics(self.training))
        if statistics.subnet != subnet:
            raise InputError("statistics belong to another sub-network: calibrate this one with calibrate_bn")
        return self.run(images, subnet, given_statistics(self.batch_norm_names(), statistics))

    def run(
        self,
        images: Tensor,
        subnet: Subnet,
        normalise: Normalise,
        take: Take = first,
        run_block: RunBlock = run_elastic,
    ) -> Tensor:
        """As calling the network, with batch normalisation, parts of weights and blocks as these three give them."""
        blocks = blocks_at(self.space, subnet)
        r = subnet.resolution
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, r, r):
            raise InputError(f"images are {tuple(images.shape)}, expected (N, 3, {r}, {r}) for this sub-network")
        x = images.contiguous(memory_format=memory_format_of(self))
        for layer, block in zip(self.children(), blocks, strict=True):
            if block is not None:
                x = run_block(layer, x, block, normalise, take)
        return x

    def batch_norm_names(self) -> dict[nn.Module, str]:
        """The name of every batch normalisation."""
        return {layer: name for name, layer in self.named_modules() if isinstance(layer, nn.BatchNorm2d)}


def build_supernet(space: SearchSpace, dropout: float = 0.1, resolutions: Iterable[int] = RESOLUTIONS) -> Supernet:
    """A freshly initialised supernet of the space, in training mode, kernel matrices at the identity.

    dropout: probability before the classifier
    resolutions: those that it is to be trained at, pixels
    Draws from torch's global generator.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"dropout is {dropout}, expected 0 or more, and less than 1")
    net = Supernet(space, dropout, resolutions)
    init_weights(net)
    return net


def layer_name(slot: Slot) -> str:
    """The name of a slot's layer in networks: "unit 1 layer 2" is unit_1_layer_2."""
    return slot.name.replace(" ", "_")


@lru_cache(maxsize=4096)
def blocks_at(space: SearchSpace, subnet: Subnet) -> tuple[Block | None, ...]:
    """The sub-network's block in each slot of the space, None where it skips; InputError if it is not of the space."""
    if not isinstance(subnet, Subnet):
        raise InputError(f"expected a Subnet of {space.name}, got {type(subnet).__name__}")
    genes = space.as_genes(subnet)
    index = index_of(space, genes)
    numbers = index.block_numbers(genes)[0].tolist()
    return tuple(index.blocks[n] if n < len(index.blocks) else None for n in numbers)
