"""Batch normalisation statistics: pooled over batches, a value, for several sub-networks at once."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.networks import PlainNetwork, Supernet, build_supernet, calibrate_bn, calibrated_plain, extract
from ofa.networks.calibrate import Calibrating
from ofa.networks.new_classifier import with_new_classifier
from ofa.networks.statistics import PooledMoments
from ofa.space import Subnet, get_space

SPACE = get_space("mbv3-w0.25", 7)


@pytest.fixture
def net() -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACE, dropout=0.5, resolutions=(32, 48))


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
        moments.add(part.mean(0), variance, torch.full((2,), float(len(part)), dtype=torch.float64))
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


def plain_network() -> PlainNetwork:
    """A network whose running statistics fit nothing."""
    torch.manual_seed(1)
    plain = extract(build_supernet(SPACE, dropout=0.5), subnets(1)[0])
    for bn in plain.modules():
        if isinstance(bn, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(bn.running_mean, 0, 3)
            torch.nn.init.uniform_(bn.weight, 0.5, 1.5)
    return plain


def test_a_plain_network_gets_the_statistics_that_its_supernet_gets_for_it(net: Supernet) -> None:
    """300 images: more than any batch."""
    subnet, given = subnets(1)[0], [images[:, :, :32, :32] for images in batches(64, 64, 64, 64, 44)]
    subnet = replace(subnet, resolution=32)
    expected = extract(net, subnet, calibrate_bn(net, subnet, given))
    plain = extract(net, subnet)
    weights = {name: value.clone() for name, value in plain.state_dict().items() if "running" not in name}
    found = calibrated_plain(plain, given)
    assert found is plain
    assert found.training
    assert found.spec == expected.spec
    assert found.spec.calibrated
    for name, value in expected.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(found.state_dict()[name], value) for name, value in weights.items())


def test_calibrating_a_plain_network_does_without_dropout_and_its_own_statistics() -> None:
    plain, again = plain_network().eval(), plain_network()
    for bn in again.modules():
        if isinstance(bn, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(bn.running_mean)
    calibrated_plain(plain, batches(20, 17))
    calibrated_plain(again, batches(20, 17))
    assert not plain.training
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in plain.state_dict().items())
    with torch.no_grad():
        # 37 images normalised by what was pooled over them: near mean 0, variance 1
        features = plain.stem.bn(plain.stem.conv(torch.cat(batches(20, 17))))
    torch.testing.assert_close(features.var((0, 2, 3)).sqrt(), plain.stem.bn.weight.detach(), rtol=1e-3, atol=1e-3)


def test_a_plain_network_stays_as_it_was_where_calibrating_fails() -> None:
    plain = plain_network()
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    for given, match in (
        ([], "at least one batch"),
        ([batches(20)[0] * float("nan")], r"stem\.bn sees values that are not finite"),
    ):
        with pytest.raises(InputError, match=match):
            calibrated_plain(plain, given)
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain.state_dict().items())
    assert not plain.spec.calibrated
    assert not any(module._forward_hooks for module in plain.modules())


@pytest.mark.parametrize("reading", [1, 7, 64, 100, 400])
@pytest.mark.parametrize(
    ("images", "batch", "expected"),
    [
        (300, 64, [64, 64, 64, 64, 44]),
        (272, 64, [64, 64, 64, 64, 16]),
        (271, 64, [64, 64, 64, 79]),
        (257, 64, [64, 64, 64, 65]),  # not a batch of one
        (65, 64, [65]),
        (20, 64, [20]),
        (9, 2, [2, 2, 2, 3]),
    ],
)
def test_calibration_batches_do_not_depend_on_how_images_are_read(
    images: int, batch: int, expected: list[int], reading: int
) -> None:
    values = torch.arange(float(images)).view(-1, 1, 1, 1)
    found = list(Calibrating(batch).batches((part, None) for part in values.split(reading)))
    assert [len(part) for part in found] == expected
    assert torch.equal(torch.cat(found), values)


def test_poor_calibration_is_refused_or_marked() -> None:
    assert Calibrating().check(64, "x") is None
    assert Calibrating(16).check(2000, "x") is None
    for images, batch, text in (
        (63, 64, "calibrated with 63 images in batches of 63"),
        (8, 64, "calibrated with 8 images in batches of 8"),
        (2000, 15, "calibrated with 2000 images in batches of 15"),
        (1, 1, "calibrated with 1 image in batches of 1"),
    ):
        with pytest.raises(InputError, match=f"imgs: batch normalisation would be {text}, which loses"):
            Calibrating(batch).check(images, "imgs")
        assert Calibrating(batch, allow_poor=True).check(images, "imgs") == text


@pytest.mark.parametrize("elastic", [True, False])
def test_a_new_classifier_keeps_all_other_weights(net: Supernet, elastic: bool) -> None:
    given: Supernet | PlainNetwork = net if elastic else plain_network()
    generator = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    found = with_new_classifier(given, 3, seed=5)
    assert torch.equal(generator, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.state_dict().items())
    fresh = found.state_dict()
    assert fresh.keys() == before.keys()
    assert [name for name in before if not torch.equal(fresh[name], before[name])] == [
        "classifier.linear.weight",
        "classifier.linear.bias",
    ]
    assert fresh["classifier.linear.weight"].shape[0] == 3
    assert torch.equal(fresh["classifier.linear.weight"], with_new_classifier(given, 3, 5).classifier.linear.weight)
    assert not torch.equal(fresh["classifier.linear.weight"], with_new_classifier(given, 3).classifier.linear.weight)
    if isinstance(found, Supernet):
        assert found.space == replace(SPACE, num_classes=3)
        assert (found.dropout, found.resolutions) == (0.5, (32, 48))
    else:
        assert found.spec.num_classes == 3
