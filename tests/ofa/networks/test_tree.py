"""Sub-networks that run together: the same values as alone, with less work."""

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.networks import build_supernet, calibrate_bn, tree
from ofa.networks.tree import SubnetTree
from ofa.space import get_space


@pytest.mark.parametrize("name", ["mbv3-w0.1", "proxyless-w0.05", "resnet50d"])
def test_statistics_and_logits_are_to_the_bit_those_of_each_alone(name: str) -> None:
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
    together = SubnetTree(net, subnets)
    statistics = together.calibrate(batches)
    logits = together.logits(batches[0], statistics)
    for subnet, found, outputs in zip(subnets, statistics, logits, strict=True):
        alone = calibrate_bn(net, subnet, batches)
        assert (found.subnet, found.images) == (subnet, 11)
        assert list(found.means) == list(alone.means)
        for name_, mean in alone.means.items():
            assert torch.equal(found.means[name_], mean)
            assert torch.equal(found.variances[name_], alone.variances[name_])
        with torch.no_grad():
            assert torch.equal(outputs, net(batches[0], subnet, alone))


def test_an_equal_beginning_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("mbv3-w0.1", 7)
    net = build_supernet(space).eval()
    smallest = space.subnet([3] * 20, [3] * 20, [2] * 5, 32)
    last = space.subnet([3] * 17 + [5] * 3, [3] * 20, [2] * 5, 32)  # differs in the last of its layers
    ran = 0

    def counted(*arguments: object) -> torch.Tensor:
        nonlocal ran
        ran += 1
        return original(*arguments)  # type: ignore[arg-type]

    original = tree.run_elastic
    monkeypatch.setattr(tree, "run_elastic", counted)
    SubnetTree(net, [smallest]).calibrate([torch.randn(2, 3, 32, 32)])
    alone, ran = ran, 0
    SubnetTree(net, [smallest, last]).calibrate([torch.randn(2, 3, 32, 32)])
    assert alone == 2 + 10 + 4  # stem, first block, layers, head
    assert ran == alone + 1 + 4  # the other last layer, and the head behind it


def test_what_cannot_run_together_is_refused() -> None:
    space = get_space("mbv3-w0.1", 7)
    net = build_supernet(space).eval()
    sizes = [space.subnet([3] * 20, [3] * 20, [2] * 5, r) for r in (32, 48)]
    with pytest.raises(InputError, match="expected to be of one resolution"):
        SubnetTree(net, sizes)
    with pytest.raises(InputError, match="at least one batch"):
        SubnetTree(net, sizes[:1]).calibrate([])
