"""Batch normalisation statistics: pooled over batches, a value, for several sub-networks at once."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.networks import Supernet, build_supernet, calibrate_bn, extract
from ofa.networks.statistics import PooledMoments
from ofa.space import Subnet, get_space

SPACE = get_space("mbv3-w0.25", 7, (32, 48))


@pytest.fixture
def net() -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACE, dropout=0.5)


def subnets(n: int = 2, resolutions: tuple[int, ...] = (48,)) -> list[Subnet]:
    return SPACE.decode(SPACE.sample(np.random.default_rng(0), n, resolutions=resolutions))


def batches(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(n, 3, 48, 48, generator=generator) * (i + 1) + i for i, n in enumerate(sizes)]


def test_moments_of_batches_are_those_of_all_values() -> None:
    values = torch.arange(24.0).view(12, 2) ** 2
    moments = PooledMoments(torch.zeros(2))
    for part in (values[:3], values[3:4], values[4:]):
        variance = part.var(0) if len(part) > 1 else torch.zeros(2)
        moments.add(part.mean(0), variance, len(part))
    torch.testing.assert_close(moments.mean, values.mean(0).double())
    torch.testing.assert_close(moments.variance(), values.var(0).double())
    # the mean of batch variances, as the reference takes, is far off: the batches' means differ
    assert (values[:3].var(0) + values[4:].var(0))[0] / 2 < moments.variance()[0] * 0.8


def test_the_first_layer_gets_the_moments_of_all_images(net: Supernet) -> None:
    subnet, given = subnets(1)[0], batches(6, 2, 4)
    statistics = calibrate_bn(net, subnet, given)
    with torch.no_grad():
        features = net.stem.conv(torch.cat(given))
    torch.testing.assert_close(statistics.means["stem.bn"], features.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics.variances["stem.bn"], features.var((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert statistics.images == 12


def test_one_batch_gives_the_outputs_of_batch_statistics(net: Supernet) -> None:
    subnet, (images,) = subnets(1)[0], batches(8)
    statistics = calibrate_bn(net, subnet, [images])
    plain = extract(net.eval(), subnet, statistics)
    for bn in plain.modules():
        if isinstance(bn, torch.nn.BatchNorm2d):
            bn.train()
    with torch.no_grad():
        expected = plain(images)
        # running variances are unbiased, batches normalise by the biased one
        torch.testing.assert_close(net(images, subnet, statistics), expected, rtol=0.1, atol=0.2)


def test_outputs_with_statistics_are_those_of_the_network_extracted_with_them(net: Supernet) -> None:
    subnet, given = subnets(1)[0], batches(4, 4)
    net.eval()
    statistics = calibrate_bn(net, subnet, given)
    plain = extract(net, subnet, statistics)
    with torch.no_grad():
        torch.testing.assert_close(plain(given[0]), net(given[0], subnet, statistics), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(plain(given[0]), net(given[0], subnet))
    assert plain.spec.calibrated
    assert not extract(net, subnet).spec.calibrated


def test_several_sub_networks_in_one_pass_get_what_each_gets_alone(net: Supernet) -> None:
    chosen = subnets(3)
    given = [(images, torch.zeros(len(images))) for images in batches(4, 3)]  # as a DataLoader yields them
    together = calibrate_bn(net, chosen, iter(given))
    for subnet, statistics in zip(chosen, together, strict=True):
        alone = calibrate_bn(net, subnet, given)
        assert statistics.subnet == subnet
        assert statistics.means.keys() == alone.means.keys()
        for name, mean in alone.means.items():
            torch.testing.assert_close(statistics.means[name], mean)
            torch.testing.assert_close(statistics.variances[name], alone.variances[name])


def test_images_are_resized_for_sub_networks_of_another_resolution(net: Supernet) -> None:
    small = subnets(1, (32,))[0]
    (statistics,) = calibrate_bn(net, [small], batches(4))
    assert statistics.subnet.resolution == 32


def test_the_network_is_left_alone_even_when_a_batch_fails(net: Supernet) -> None:
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def failing() -> Iterator[torch.Tensor]:
        yield batches(4)[0]
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        calibrate_bn(net, subnets(1)[0], failing())
    calibrate_bn(net, subnets(1)[0], batches(4))
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_bad_input_is_named(net: Supernet) -> None:
    first, second = subnets(2)
    with pytest.raises(InputError, match="at least one batch"):
        calibrate_bn(net, first, [])
    with pytest.raises(InputError, match=r"stem\.bn sees values that are not finite"):
        calibrate_bn(net, first, [batches(4)[0] * float("nan")])
    statistics = calibrate_bn(net, first, batches(4))
    with pytest.raises(InputError, match="another sub-network"):
        net(batches(4)[0], second, statistics)
    with pytest.raises(InputError, match="another sub-network"):
        extract(net, second, statistics)
