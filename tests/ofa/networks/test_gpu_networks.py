"""Networks on a GPU, by our own kernels: the numbers of PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import IMAGENET
from ofa.networks import Supernet, build_supernet, calibrate_bn, gpu
from ofa.networks.layers import memory_format_of, placed, use_memory_format
from ofa.predictors.collect.measuring import PreparedImages, measure
from ofa.space import get_space
from ofa.training.step import supernet_run

GPU = torch.device("cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]


def supernet(name: str) -> Supernet:
    torch.manual_seed(0)
    return build_supernet(get_space(name, 10), 0.0, resolutions=(64,))


def gradients(net: Supernet, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of all weights, by two sub-networks, and all running statistics behind them."""
    run = supernet_run(net.train())
    for subnet in net.space.decode(net.space.sample(np.random.default_rng(1), 2, resolutions=[64])):
        F.cross_entropy(run(images, subnet), labels).backward()
    return {n: p.grad.double().cpu() for n, p in net.named_parameters() if p.grad is not None}, {
        n: b.double().cpu() for n, b in net.named_buffers()
    }


@pytest.mark.parametrize("name", ["mbv3-w0.35", "proxyless-w0.35"])
def test_a_training_step_in_fp32_is_that_of_a_cpu(name: str) -> None:
    torch.backends.cudnn.allow_tf32 = False
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16) % 10
    expected = gradients(supernet(name).double(), images.double(), labels)
    net = supernet(name)
    placed(net, GPU)
    assert memory_format_of(net) == torch.channels_last
    assert gpu.quick(images.to(GPU))
    found = gradients(net, images.to(GPU), labels.to(GPU))
    for mine, theirs, limit in zip(found, expected, (0.02, 1e-4), strict=True):  # activations have kinks
        assert mine.keys() == theirs.keys()
        away = sum(float((tensor - theirs[key]).norm()) ** 2 for key, tensor in mine.items())
        assert away**0.5 <= limit * sum(float(tensor.norm()) ** 2 for tensor in theirs.values()) ** 0.5


def test_sub_networks_together_score_as_alone_and_in_halves_nearly_so() -> None:
    net = supernet("mbv3-w0.35").eval()
    placed(net, GPU)
    draws = torch.Generator().manual_seed(0)
    of_both = [
        [
            PixelBatch(
                torch.randint(0, 256, (n, 64, 64, 3), dtype=torch.uint8, generator=draws),
                torch.randint(0, 10, (n,), generator=draws),
            )
            for n in (64, 64, 64, 40)
        ]
        for _ in range(2)
    ]
    images = PreparedImages(*of_both, *IMAGENET).to(GPU)
    subnets = net.space.decode(net.space.sample(np.random.default_rng(0), 5, resolutions=[64]))
    together = measure(net, subnets, images)
    for subnet, found, half in zip(subnets, together, measure(net, subnets, images, precision="bf16"), strict=True):
        (alone,) = measure(net, [subnet], images)
        assert found.images == alone.images == 232
        assert found.loss_sum == pytest.approx(alone.loss_sum, rel=1e-4)
        assert half.loss_sum == pytest.approx(alone.loss_sum, rel=0.02)
        statistics = calibrate_bn(net, subnet, images.calibration_batches(GPU, lambda _: None))
        with torch.no_grad():
            logits = torch.cat([net(b.images(GPU, *IMAGENET), subnet, statistics) for b in images.evaluation])
        loss = F.cross_entropy(logits, torch.cat([b.labels for b in images.evaluation]).to(GPU), reduction="sum")
        assert found.loss_sum == pytest.approx(float(loss), rel=1e-4)


def test_without_our_kernels_networks_are_contiguous_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_run_on", lambda _: False)
    net = supernet("mbv3-w0.35")
    placed(net, GPU)
    assert memory_format_of(net) == torch.contiguous_format
    use_memory_format(net, torch.channels_last)
    assert memory_format_of(net) == torch.channels_last
