"""Sub-networks that run together: the same values as alone, with less work."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ofa.errors import InputError
from ofa.networks import BatchNormStatistics, Supernet, build_supernet, calibrate_bn, tree
from ofa.networks.tree import SubnetTree
from ofa.space import Subnet, get_space


@pytest.mark.parametrize("name", ["mbv3-w0.1", "proxyless-w0.05", "resnet50d"])
def test_statistics_are_to_the_bit_those_of_each_alone_and_logits_but_for_rounding(name: str) -> None:
    space = get_space(name, 7, (0.1, 0.2) if name == "resnet50d" else None)
    torch.manual_seed(0)
    net = build_supernet(space, dropout=0.0).eval()
    subnets = space.decode(space.sample(np.random.default_rng(0), 6, resolutions=[32]))
    # one twice, the smallest, and one a layer deeper: in proxyless-w0.05 by the block that the next unit begins with
    ends = np.zeros((2, space.num_genes), np.uint16)
    ends[:, 0] = 32
    ends[1, space.columns("depths").start + 2] = 1
    subnets += [subnets[2], *space.decode(ends)]
    batches = [torch.randn(n, 3, 32, 32) for n in (4, 4, 3)]
    with torch.no_grad():  # as if it were trained: batch normalisation scales, matrices are no identities
        for parameter in net.parameters():
            if parameter.ndim < 4:
                parameter += 0.3 * torch.rand_like(parameter)
    together = SubnetTree(net, subnets)
    statistics = together.calibrate(batches)
    logits = together.logits(together.folded(statistics))(batches[0])
    for subnet, found, outputs in zip(subnets, statistics, logits, strict=True):
        alone = calibrate_bn(net, subnet, batches)
        assert (found.subnet, found.images) == (subnet, 11)
        assert list(found.means) == list(alone.means)
        for name_, mean in alone.means.items():
            assert torch.equal(found.means[name_], mean)
            assert torch.equal(found.variances[name_], alone.variances[name_])
        single = SubnetTree(net, [subnet])
        assert torch.equal(outputs, single.logits(single.folded([alone]))(batches[0])[0])
        with torch.no_grad():
            expected = net(batches[0], subnet, alone)
        exact = net.double()(batches[0].double(), subnet, _in_double(alone))
        net.float()
        # folding rounds no worse than what it is compared with
        assert (outputs - exact).abs().max() < 4 * (expected - exact).abs().max() + 1e-6 * exact.abs().max()
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def _in_double(statistics: BatchNormStatistics) -> BatchNormStatistics:
    means, variances = ({name: v.double() for name, v in of.items()} for of in (statistics.means, statistics.variances))
    return replace(statistics, means=means, variances=variances)


def test_an_equal_beginning_and_wider_blocks_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("mbv3-w0.1", 7)
    net = build_supernet(space).eval()
    smallest = space.subnet([3] * 20, [3] * 20, [2] * 5, 32)
    kernel = space.subnet([3] * 17 + [5] * 3, [3] * 20, [2] * 5, 32)  # differs in the last of its layers
    wider = space.subnet([3] * 20, [3] * 17 + [6] * 3, [2] * 5, 32)
    ran: list[int] = []

    def counted(bn: nn.BatchNorm2d, x: torch.Tensor, *given: object, **more: object) -> object:
        ran.append(x.shape[1])
        return original(bn, x, *given, **more)  # type: ignore[arg-type]

    original = tree.activated_with_moments
    monkeypatch.setattr(tree, "activated_with_moments", counted)

    def convolutions(*subnets: Subnet) -> int:
        ran.clear()
        SubnetTree(net, subnets).calibrate([torch.randn(2, 3, 32, 32)])
        return len(ran)

    alone = convolutions(smallest)
    assert alone == 1 + 2 + 10 * 3 + 1  # stem, first block, layers, head
    # one that depends on the kernel, two behind it
    assert convolutions(smallest, kernel) == alone + 1 + 2
    # the projection of more channels, and the head: expansion and depthwise run once, with those of the wider
    assert convolutions(smallest, wider) == convolutions(wider, smallest) == alone + 1 + 1
    assert convolutions(smallest, wider, kernel) == alone + 1 + 1 + 1 + 2
    assert sum(ran) < sum(sizes_of(net, (smallest, wider, kernel)))


def sizes_of(net: Supernet, subnets: Sequence[Subnet]) -> list[int]:
    """Channels of every batch normalisation, of each sub-network by itself."""
    found = (calibrate_bn(net, subnet, [torch.randn(2, 3, 32, 32)]) for subnet in subnets)
    return [len(mean) for statistics in found for mean in statistics.means.values()]


def test_what_nothing_reads_any_more_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("mbv3-w0.1", 7)
    net = build_supernet(space).eval()
    together = SubnetTree(net, space.decode(space.sample(np.random.default_rng(0), 6, resolutions=[32])))
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def counted(bn: nn.BatchNorm2d, x: torch.Tensor, *given: object, **more: object) -> object:
        alive.append(sum(value() is not None for value in made))
        made.append(weakref.ref(x))
        return original(bn, x, *given, **more)  # type: ignore[arg-type]

    original = tree.activated_with_moments
    monkeypatch.setattr(tree, "activated_with_moments", counted)
    together.calibrate([torch.randn(2, 3, 32, 32)])
    # of the value that each convolution made: those where paths part, and a few in a block
    assert max(alive) < 30 < len(made) / 5


def test_what_cannot_run_together_is_refused() -> None:
    space = get_space("mbv3-w0.1", 7)
    net = build_supernet(space).eval()
    sizes = [space.subnet([3] * 20, [3] * 20, [2] * 5, r) for r in (32, 48)]
    with pytest.raises(InputError, match="expected to be of one resolution"):
        SubnetTree(net, sizes)
    with pytest.raises(InputError, match="at least one batch"):
        SubnetTree(net, sizes[:1]).calibrate([])
