"""The kernels for GPUs against PyTorch in double precision: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="Triton is not installed: it is there for Linux only")

from subprocess import CalledProcessError

from triton.runtime.errors import OutOfResources

from ofa.blocks import steps_of
from ofa.errors import InputError
from ofa.networks import calibrate_bn, gpu
from ofa.networks.convolution import conv
from ofa.networks.gpu import batch_norm, depthwise
from ofa.networks.gpu.launching import launch
from ofa.networks.supernet import blocks_at
from ofa.networks.tree import SubnetTree
from ofa.space import get_space
from ofa.training.step import supernet_run
from tests.helpers.supernets import TINY, lively

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = [pytest.mark.cuda] if DEVICE == "cuda" else []
DTYPES = [torch.float32, torch.float16, torch.bfloat16] if DEVICE == "cuda" else [torch.float32]
# channels, height, width, kernel size, stride: odd sides, images smaller than the kernel, more than one block of each
SHAPES = [(40, 9, 7, 3, 1), (72, 7, 8, 5, 2), (16, 9, 4, 7, 1), (8, 2, 1, 7, 2), (24, 5, 7, 5, 1), (80, 6, 5, 3, 2)]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda z: z,
    "relu": F.relu,
    "relu6": F.relu6,
    "h_swish": F.hardswish,
    "swish": F.silu,
}


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    drawn = drawn.to(DEVICE, dtype)
    return drawn.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else drawn


def huge(n: int, channels: int, height: int, width: int) -> Tensor:
    """Of a shape alone."""
    return torch.empty(n, height, width, channels, device="meta").permute(0, 3, 1, 2)


def askew(n: int, channels: int, height: int, width: int) -> Tensor:
    """Begins within eight, but has no holes."""
    memory = torch.zeros(n * height * width * channels + 4, device=DEVICE)
    return memory[4:].view(n, height, width, channels).permute(0, 3, 1, 2)


def doubled(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_(tensor.requires_grad) for tensor in tensors]


def check(found: Sequence[Tensor], expected: Sequence[Tensor], times: float = 1) -> None:
    for a, b in zip(found, expected, strict=True):
        limit = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[a.dtype]
        b = b.detach()
        assert float((a.detach().double() - b).norm()) <= times * limit * float(b.norm())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_depthwise_convolutions_and_their_gradients(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depthwise, "CHUNK", 64)  # several
    channels, height, width, kernel_size, stride = shape
    x = random(3, channels, height, width, dtype=dtype).requires_grad_()
    weight = random(channels, 1, kernel_size, kernel_size, dtype=dtype).requires_grad_()
    assert depthwise.fits(x, weight, stride)
    out = depthwise.depthwise(x, weight, stride)
    grad = random(*out.shape, dtype=dtype).flip(0)
    exact = doubled(x, weight)
    expected = F.conv2d(*exact, None, stride, kernel_size // 2, groups=channels)
    check(
        (out, *torch.autograd.grad(out, (x, weight), grad)),
        (expected, *torch.autograd.grad(expected, exact, grad.double())),
    )


def test_the_first_channels_of_an_image_need_no_copy_and_a_bias_is_added() -> None:
    x, weight, bias = random(2, 64, 6, 5)[:, :24], random(24, 1, 3, 3), random(24)
    assert not x.is_contiguous(memory_format=torch.channels_last)
    assert depthwise.fits(x, weight, 1)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), 1, 1, groups=24)
    with torch.no_grad():
        check([depthwise.depthwise(x, weight, 1, bias)], [expected])


@pytest.mark.parametrize(
    "x",
    [
        random(2, 8, 4, 4).contiguous(),  # channels are not side by side
        random(2, 12, 4, 4),  # twelve: no multiple of eight
        random(2, 16, 4, 4)[:, 4:12],  # begins within eight
        random(0, 8, 4, 4),
        askew(2, 8, 4, 4),
        huge(2**9, 16, 2**9, 2**9),  # of 2 ** 31 numbers
        huge(2**10, 8, 2**8, 2**8),  # of 2 ** 16 chunks
    ],
)
def test_what_would_be_read_wrongly_does_not_fit(x: Tensor) -> None:
    assert not depthwise.fits(x, random(x.shape[1], 1, 3, 3), 1)
    assert not depthwise.fits(random(2, 8, 4, 4), random(8, 1, 4, 4), 1)  # an even kernel size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_batch_normalisation_with_its_activation(
    activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_norm, "MOST_CHUNKS", 8)  # several, of several blocks each
    x = (random(5, 72, 9, 12, dtype=dtype) * 3 + 20).requires_grad_()  # a mean larger than the spread
    scale, shift = (random(72) + 1).requires_grad_(), random(72).requires_grad_()
    running = random(72), random(72).square()
    exact, exact_running = doubled(x, scale, shift), doubled(*running)
    assert batch_norm.fits(x)
    out = batch_norm.normalised(x, scale, shift, running, 0.1, 1e-5, activation)
    grad = random(*out.shape, dtype=dtype).flip(0)
    expected = ACTIVATIONS[activation](F.batch_norm(exact[0], *exact_running, exact[1], exact[2], True, 0.1, 1e-5))
    check(
        (out, *torch.autograd.grad(out, (x, scale, shift), grad), *running),
        (expected, *torch.autograd.grad(expected, exact, grad.double()), *exact_running),
    )


def test_batch_normalisation_keeps_no_statistics_where_none_are_given() -> None:
    x, scale, shift = random(2, 8, 5, 5), random(8), random(8)
    expected = F.batch_norm(x.double(), None, None, scale.double(), shift.double(), True)
    check([batch_norm.normalised(x, scale, shift, None, 0.0, 1e-5, "none")], [expected])


@pytest.mark.parametrize(
    "x",
    [
        random(2, 8, 4, 4).contiguous(),
        random(2, 12, 4, 4),
        random(1, 8, 1, 1),
        huge(2**9, 16, 2**9, 2**9),
        askew(2, 8, 4, 4),
    ],
)
def test_what_batch_normalisation_does_not_take(x: Tensor) -> None:
    assert not batch_norm.fits(x)


@pytest.mark.parametrize("layout", ["contiguous", "part", "spread", "one number"])
def test_gradients_come_in_any_layout(layout: str) -> None:
    """Behind a sum or a mean, all pixels share one number."""
    x, weight, scale, shift = random(3, 16, 5, 4), random(16, 1, 5, 5), random(16), random(16)
    grad = {
        "contiguous": random(3, 16, 5, 4).contiguous(),
        "part": random(3, 24, 5, 4)[:, 3:19],
        "spread": random(3, 16, 1, 1).expand(3, 16, 5, 4),
        "one number": random(1).expand(3, 16, 5, 4),
    }[layout]
    exact = doubled(*(tensor.requires_grad_() for tensor in (x, weight, scale, shift)))
    hidden = batch_norm.normalised(depthwise.depthwise(x, weight, 1), scale, shift, None, 0.0, 1e-5, "swish")
    expected = F.conv2d(*exact[:2], None, 1, 2, groups=16)
    expected = F.silu(F.batch_norm(expected, None, None, *exact[2:], True))
    for of in (hidden, depthwise.depthwise(x, weight, 1)):  # of both, and of the convolution alone
        like = expected if of is hidden else F.conv2d(*exact[:2], None, 1, 2, groups=16)
        inputs = slice(4 if of is hidden else 2)
        found = torch.autograd.grad(of, (x, weight, scale, shift)[inputs], grad)
        check(found, torch.autograd.grad(like, exact[inputs], grad.double()), times=10)  # of one number, much cancels


@pytest.mark.skipif(DEVICE == "cuda", reason="tests/ofa/networks/test_gpu_networks.py compares more of them there")
def test_a_network_learns_by_them_what_it_learns_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of layer that a MobileNetV3 has, as if it were on a GPU."""
    space, images = get_space(str(TINY), 7), random(4, 3, 32, 32)
    subnet = space.decode(space.sample(np.random.default_rng(1), 1, resolutions=[32]))[0]

    def learnt(dtype: torch.dtype) -> dict[str, Tensor]:
        net = lively(space).train().to(dtype)
        for _ in range(2):  # gradients of both are added up
            F.cross_entropy(supernet_run(net)(images.to(dtype), subnet), torch.arange(4)).backward()
        grads = {f"grad {name}": p.grad for name, p in net.named_parameters() if p.grad is not None}
        return {**grads, **dict(net.named_buffers())}

    expected = learnt(torch.float64)
    used: list[str] = []
    for module, name in ((depthwise, "depthwise"), (batch_norm, "normalised")):
        inner = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _of=inner, _name=name: used.append(_name) or _of(*a))
    # the interpreter takes longer for many programs than for large ones
    monkeypatch.setattr(batch_norm, "_BLOCK_P", 256)
    monkeypatch.setattr(depthwise, "_block_p", lambda _: 256)
    monkeypatch.setattr(depthwise, "CHUNK", 256)
    monkeypatch.setattr(gpu, "quick", lambda _: True)
    found = learnt(torch.float32)
    assert found.keys() == expected.keys()
    layers = [block for block in blocks_at(space, subnet) if block is not None]
    steps = [step for block in layers for step in steps_of(block) if step.kind == "conv"]
    assert used.count("normalised") == 2 * len(steps)
    assert used.count("depthwise") == 2 * sum(step.depthwise for step in steps)
    for kind in ("grad ", "running_mean", "running_var"):
        mine, theirs = (
            torch.cat([t.flatten().double() for n, t in of.items() if kind in n]) for of in (found, expected)
        )
        assert float((mine - theirs).norm()) <= 1e-5 * float(theirs.norm())


@pytest.mark.skipif(DEVICE == "cuda", reason="tests/ofa/networks/test_gpu_networks.py compares scores there")
def test_a_network_is_calibrated_by_them_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together with others and alone, as if it were on a GPU."""
    space = get_space(str(TINY), 7)
    net, batches = lively(space).eval(), [random(n, 3, 32, 32) for n in (4, 5)]
    subnets = space.decode(space.sample(np.random.default_rng(1), 3, resolutions=[32]))
    expected = calibrate_bn(net.double(), subnets, [batch.double() for batch in batches])
    net.float()
    used: list[str] = []
    inner = batch_norm.normalised
    monkeypatch.setattr(batch_norm, "normalised", lambda *a: used.append(a[-1]) or inner(*a))
    monkeypatch.setattr(batch_norm, "_BLOCK_P", 256)
    monkeypatch.setattr(depthwise, "_block_p", lambda _: 256)
    monkeypatch.setattr(gpu, "quick", lambda _: True)
    for calibrate in (SubnetTree(net, subnets).calibrate, partial(calibrate_bn, net, subnets)):
        found = calibrate(batches)
        assert set(used) == {"none", "relu", "h_swish"}
        used.clear()
        for mine, theirs in zip(found, expected, strict=True):
            for of, like in ((mine.means, theirs.means), (mine.variances, theirs.variances)):
                assert of.keys() == like.keys()
                both = [torch.cat([t.double() for t in values.values()]) for values in (of, like)]
                assert float((both[0] - both[1]).norm()) <= 1e-5 * float(both[1].norm())


def test_under_autocast_images_and_weights_are_halves_and_their_gradients_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, weight = random(2, 16, 5, 4), random(16, 1, 3, 3)
    exact = doubled(*(tensor.half().requires_grad_() for tensor in (x, weight)))
    expected = F.conv2d(*exact, None, 1, 1, groups=16)
    monkeypatch.setattr(gpu, "quick", lambda _: True)
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)  # torch.autocast switches it off where there is no GPU
    torch.set_autocast_dtype("cuda", torch.float16)
    try:
        out = conv(x.requires_grad_(), weight.requires_grad_(), None, 1, 16)
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)
    assert out.dtype == torch.float16
    grads = torch.autograd.grad(out, (x, weight), torch.ones_like(out))
    assert [grad.dtype for grad in grads] == [torch.float32, torch.float32]
    rounded = [grad.half() for grad in grads]
    check((out, *rounded), (expected, *torch.autograd.grad(expected, exact, torch.ones_like(expected))))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """There tl.maximum and tl.minimum make a number of a NaN and a number; the interpreter's do not."""
    if DEVICE == "cpu":
        interpreter = importlib.import_module("triton.runtime.interpreter")
        for name, of in {"create_maxnumf": np.fmax, "create_minnumf": np.fmin}.items():
            operator = lambda self, a, b, of=of: self.binary_op(a, b, of)  # noqa: E731
            monkeypatch.setattr(interpreter.InterpreterBuilder, name, operator)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_finite_stays_so(activation: str, value: float) -> None:
    """A loss must show it, and fp16's scaling must find it in gradients."""
    x, scale, shift, running = random(3, 16, 5, 5), torch.ones(16, device=DEVICE), random(16), (random(16), random(16))
    x[1, 3, 2, 2] = value
    out = batch_norm.normalised(x.requires_grad_(), scale, shift, running, 0.1, 1e-5, activation)
    (grad,) = torch.autograd.grad(out.sum(), x)
    for of_channels in (out.transpose(0, 1).flatten(1), grad.transpose(0, 1).flatten(1), torch.stack(running, 1)):
        finite = of_channels.isfinite()
        assert [n for n in range(16) if not finite[n].all()] == [3]
        assert not of_channels[3].isfinite().any()


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_not_finite_stay_so(value: float) -> None:
    x, scale, shift = (tensor.requires_grad_() for tensor in (random(3, 16, 5, 5), random(16), random(16)))
    weight = random(16, 1, 3, 3).requires_grad_()
    out = depthwise.depthwise(batch_norm.normalised(x, scale, shift, None, 0.1, 1e-5, "none"), weight, 1)
    grad = torch.zeros_like(out)
    grad[1, 3, 2, 2] = value
    for found in torch.autograd.grad(out, (x, scale, shift, weight), grad):
        channels = found.transpose(0, 1) if len(found) == len(x) else found
        assert [n for n in range(16) if not channels[n].isfinite().all()] == [3]


def test_a_gradient_of_a_gradient_is_refused() -> None:
    """It would be that of a constant."""
    x, scale, shift, weight = random(2, 8, 5, 5).requires_grad_(), random(8), random(8), random(8, 1, 3, 3)
    for out in (
        depthwise.depthwise(x, weight, 1),
        batch_norm.normalised(x, scale, shift, None, 0.1, 1e-5, "swish"),
    ):
        (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            grad.sum().backward()


def test_a_bias_is_for_networks_that_do_not_learn() -> None:
    with pytest.raises(AssertionError):
        depthwise.depthwise(random(2, 8, 5, 5), random(8, 1, 3, 3).requires_grad_(), 1, random(8))


class Unmade:
    """A kernel that is not made."""

    __name__ = "_sums_kernel"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, _: object) -> Callable[..., None]:
        def launched(*_: object, **__: object) -> None:
            raise self.error

        return launched


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfResources(300_000, 232_448, "shared memory"), "out of resource: shared memory, Required: 300000"),
        (CalledProcessError(1, ["/usr/bin/gcc"]), "Command '['/usr/bin/gcc']' returned non-zero exit status 1."),
        (RuntimeError("Triton Error [CUDA]: device kernel image is invalid"), "device kernel image is invalid"),
    ],
)
def test_a_kernel_that_is_not_made_is_the_user_s_to_switch_off(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a training: one line, and the way out; the first trial says only what is wrong."""
    x, scale, shift = random(2, 8, 5, 5).requires_grad_(), random(8), random(8)
    out = batch_norm.normalised(x, scale, shift, None, 0.0, 1e-5, "none")
    monkeypatch.setattr(batch_norm, "_sums_kernel", Unmade(error))
    with pytest.raises(InputError, match=r"Triton does not make the kernel sums_kernel .*: uninstall triton, ") as told:
        out.sum().backward()
    assert reason in str(told.value)
    monkeypatch.setattr(batch_norm, "_moments_kernel", Unmade(error))
    assert gpu._fault_on(torch.device(DEVICE)) == str(error).splitlines()[0]


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: unspecified"), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_other_faults_are_not_taken_for_it(error: Exception) -> None:
    with pytest.raises(type(error), match="CUDA"):
        launch(Unmade(error), (1,))


def test_the_first_trial_finds_nothing_wrong() -> None:
    assert gpu._fault_on(torch.device(DEVICE)) == ""
