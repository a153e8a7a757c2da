"""Block graphs: every runtime computes what PyTorch's own layers compute."""

import builtins
import hashlib
import importlib
import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ofa.blocks import ACTIVATIONS, OPERATORS, Block, all_blocks, blocks_of
from ofa.errors import InputError
from ofa.graph import Graph, RandomWeights, block_graph, network_graph
from ofa.graph.onnx import write_onnx
from ofa.graph.tflite import write_tflite
from ofa.graph.torch import build_torch, write_torchscript
from ofa.space import get_space

TOLERANCE = 1e-5  # of the largest output


def images(graph: Graph, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=graph.input_shape).astype(np.float32)


def run_onnx(graph: Graph, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(write_onnx(graph), options, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})[0]


def run_tflite(interpreter_of: Callable, graph: Graph, x: np.ndarray) -> np.ndarray:
    interpreter = interpreter_of(model_content=write_tflite(graph), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    interpreter.invoke()
    y = interpreter.get_tensor(wanted["index"])
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def run_litert(graph: Graph, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    return run_tflite(Interpreter, graph, x)


def run_tflite_runtime(graph: Graph, x: np.ndarray) -> np.ndarray:
    module = pytest.importorskip("tflite_runtime.interpreter", reason="tflite-runtime has wheels up to Python 3.11")
    return run_tflite(module.Interpreter, graph, x)


def run_torch(graph: Graph, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return build_torch(graph)(torch.from_numpy(x)).numpy()


def run_torchscript(graph: Graph, x: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is in maintenance
        return torch.jit.load(io.BytesIO(write_torchscript(graph)))(torch.from_numpy(x)).numpy()


RUNTIMES = {
    "onnxruntime": run_onnx,
    "ai-edge-litert": run_litert,
    "tflite-runtime": run_tflite_runtime,
    "torch": run_torch,
    "torchscript": run_torchscript,
}


def error(y: np.ndarray, expected: np.ndarray) -> float:
    assert y.shape == expected.shape
    return float(np.abs(y - expected).max() / np.abs(expected).max())


# ---- the same blocks, written with PyTorch's layers: an opinion that is independent of ofa.graph


class ByHand(nn.Module):
    """A block out of nn.Conv2d and so on, with the weights of a `RandomWeights`."""

    ACTIVATIONS: ClassVar = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "h_swish": nn.Hardswish,
        "swish": nn.SiLU,
        "none": nn.Identity,
    }

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.b, self.random = block, RandomWeights(0)
        b, mid = block, block.mid_channels
        self.act = self.ACTIVATIONS[b.activation]()
        if b.op in ("mbconv", "mbconv_se_in"):
            if mid != b.in_channels:
                self.expand = self.conv("expand", b.in_channels, mid)
            self.depthwise = self.conv("depthwise", mid, mid, b.kernel_size, b.stride, groups=mid)
            if b.squeeze_excite:
                hidden = b.se_channels if b.op == "mbconv" else max(1, b.in_channels // 4)
                self.reduce = self.conv("se_reduce", mid, hidden)
                self.restore = self.conv("se_expand", hidden, mid)
            self.project = self.conv("project", mid, b.out_channels)
        elif b.op == "uib_g2":
            self.steps = nn.Sequential(
                self.conv("expand", b.in_channels, mid, groups=2),
                self.act,
                nn.ChannelShuffle(2),
                self.conv("depthwise", mid, mid, b.kernel_size, b.stride, mid),
                self.act,
                self.conv("project", mid, b.out_channels, groups=2),
            )
        elif b.op.startswith("uib"):
            start = int(b.op[3:] or 0)
            last = "inside" if b.kernel_size > 1 else "start" if start else "expand"  # has the stride
            strides = {name: b.stride if name == last else 1 for name in ("start", "expand", "inside")}
            steps = [
                start and self.conv("start", b.in_channels, b.in_channels, start, strides["start"], b.in_channels),
                self.conv("expand", b.in_channels, mid, 1, strides["expand"]),
                self.act,
                b.kernel_size > 1 and self.conv("depthwise", mid, mid, b.kernel_size, b.stride, mid),
                b.kernel_size > 1 and self.act,
                self.conv("project", mid, b.out_channels),
            ]
            self.steps = nn.Sequential(*[step for step in steps if step])
        elif b.op == "basic":
            self.conv1 = self.conv("conv1", b.in_channels, b.out_channels, b.kernel_size, b.stride)
            self.conv2 = self.conv("conv2", b.out_channels, b.out_channels, b.kernel_size)
            if not b.skip:
                self.shortcut = self.conv("downsample", b.in_channels, b.out_channels, 1, b.stride)
        elif b.op in ("bottleneck", "bottleneck_b"):
            self.conv1 = self.conv("conv1", b.in_channels, mid)
            self.conv2 = self.conv("conv2", mid, mid, b.kernel_size, b.stride)
            self.conv3 = self.conv("conv3", mid, b.out_channels)
            if not b.skip:
                pooled = b.op == "bottleneck" and b.stride == 2
                pool = nn.AvgPool2d(2, 2, ceil_mode=True) if pooled else nn.Identity()
                stride = 1 if pooled else b.stride
                self.shortcut = nn.Sequential(pool, self.conv("downsample", b.in_channels, b.out_channels, 1, stride))
        elif b.op in ("conv", "feature_mix", "feature_mix_bias"):
            bias = b.op != "feature_mix"
            self.only = self.conv("conv", b.in_channels, b.out_channels, b.kernel_size, b.stride, bias=bias)
        elif b.op == "linear":
            self.linear = nn.Linear(b.in_channels, b.out_channels)
            self.fill(self.linear, "linear", True)

    def conv(
        self, layer: str, inside: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> nn.Conv2d:
        module = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.fill(module, layer, bias)
        return module

    def fill(self, module: nn.Module, layer: str, bias: bool) -> None:
        weight, biases = self.random(f"0.{layer}", tuple(module.weight.shape), bias)
        module.weight.data = torch.from_numpy(weight)
        if bias:
            module.bias.data = torch.from_numpy(biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b = self.b
        if b.op in ("mbconv", "mbconv_se_in"):
            y = self.act(self.expand(x)) if b.mid_channels != b.in_channels else x
            y = self.act(self.depthwise(y))
            if b.squeeze_excite:
                own = b.op == "mbconv"
                hidden = (torch.relu if own else self.act)(self.reduce(y.mean((2, 3), keepdim=True)))
                y = y * (nn.functional.hardsigmoid if own else torch.sigmoid)(self.restore(hidden))
            y = self.project(y)
            return x + y if b.skip else y
        if b.op.startswith("uib"):
            y = self.steps(x)
            return x + y if b.skip else y
        if b.op == "basic":
            y = self.conv2(self.act(self.conv1(x)))
            return self.act(y + (x if b.skip else self.shortcut(x)))
        if b.op in ("bottleneck", "bottleneck_b"):
            y = self.conv3(self.act(self.conv2(self.act(self.conv1(x)))))
            return self.act(y + (x if b.skip else self.shortcut(x)))
        if b.op in ("conv", "feature_mix", "feature_mix_bias"):
            y = self.act(self.only(x))
            return x + y if b.skip else y
        if b.op == "linear":
            return self.linear(x.flatten(1))
        return nn.MaxPool2d(3, 2, 1)(x) if b.op == "max_pool" else x.mean((2, 3), keepdim=True)


BLOCKS = [
    Block("conv", 33, 3, 0, 16, 3, 2, "h_swish", False, False),
    Block("conv", 12, 8, 0, 8, 3, 1, "relu", False, True),
    Block("conv", 7, 16, 0, 40, 1, 1, "relu6", False, False),
    Block("mbconv", 14, 16, 16, 16, 3, 1, "relu", False, True),
    Block("mbconv", 14, 16, 16, 24, 3, 1, "relu6", False, False),
    Block("mbconv", 25, 8, 24, 16, 7, 2, "h_swish", True, False),
    Block("mbconv", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("mbconv", 10, 16, 96, 16, 5, 1, "h_swish", True, True),
    Block("mbconv", 10, 16, 64, 16, 7, 1, "relu6", False, True),
    Block("bottleneck", 11, 16, 8, 32, 3, 2, "relu", False, False),
    Block("bottleneck", 8, 16, 8, 32, 3, 2, "relu", False, False),
    Block("bottleneck", 7, 16, 8, 32, 3, 1, "relu", False, False),
    Block("bottleneck", 7, 32, 8, 32, 3, 1, "relu", False, True),
    Block("bottleneck", 7, 32, 8, 32, 5, 1, "h_swish", False, True),
    Block("bottleneck", 9, 16, 8, 32, 3, 2, "relu6", False, False),
    Block("conv", 9, 8, 0, 8, 5, 1, "none", False, True),
    Block("mbconv_se_in", 9, 16, 96, 24, 5, 2, "swish", True, False),
    Block("uib", 8, 16, 16, 16, 3, 1, "relu", False, True),
    Block("uib3", 9, 16, 64, 16, 1, 1, "relu", False, True),
    Block("uib5", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("uib_g2", 9, 16, 48, 24, 5, 2, "relu", False, False),
    Block("uib_g2", 6, 2, 2, 2, 3, 1, "relu", False, True),
    Block("basic", 9, 16, 0, 32, 3, 2, "relu", False, False),
    Block("bottleneck_b", 9, 16, 8, 32, 3, 2, "relu", False, False),
    Block("feature_mix_bias", 1, 24, 0, 40, 1, 1, "h_swish", False, False),
    Block("feature_mix", 1, 24, 0, 40, 1, 1, "h_swish", False, False),
    Block("max_pool", 25, 8, 0, 8, 3, 2, "none", False, False),
    Block("max_pool", 16, 8, 0, 8, 3, 2, "none", False, False),
    Block("global_pool", 7, 24, 0, 24, 1, 1, "none", False, False),
    Block("linear", 1, 24, 0, 10, 1, 1, "none", False, False),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_op_in_every_runtime(block: Block, runtime: str, batch: int) -> None:
    graph = block_graph(block, batch=batch)
    # all negative for the poolings: padding with zeros would win there
    x = -np.abs(images(graph)) if block.op == "max_pool" else images(graph)
    with torch.no_grad():
        expected = ByHand(block)(torch.from_numpy(x)).numpy()
    assert graph.output_shape == expected.shape
    assert error(RUNTIMES[runtime](graph, x), expected) < TOLERANCE


@st.composite
def valid_blocks(draw: st.DrawFn) -> Block:
    """Any block that a graph computes."""
    op = draw(st.sampled_from(list(OPERATORS)))
    size = 1 if op == "linear" else draw(st.integers(1, 13))
    inside, out = draw(st.sampled_from([4 if op == "uib_g2" else 3, 8, 16])), draw(st.sampled_from([8, 16]))
    if op in ("max_pool", "global_pool"):
        kernel, stride = (3, 2) if op == "max_pool" else (1, 1)
        return Block(op, size, inside, 0, inside, kernel, stride, "none", False, False)
    activation = "none" if op == "linear" else draw(st.sampled_from(ACTIVATIONS))
    if op in ("feature_mix", "feature_mix_bias", "linear"):
        return Block(op, size, inside, 0, out, 1, 1, activation, False, False)
    mid = 0 if op in ("conv", "basic") else draw(st.sampled_from([inside, 8, 24]))
    kernel, stride = draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from([1, 2]))
    skip = stride == 1 and inside == out and draw(st.booleans())
    squeeze_excite = op == "mbconv_se_in" or (op == "mbconv" and draw(st.booleans()))
    return Block(op, size, inside, mid, out, kernel, stride, activation, squeeze_excite, skip)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(block=valid_blocks(), seed=st.integers(0, 1000))
def test_any_valid_block_is_the_same_in_onnx_tflite_and_torch(block: Block, seed: int) -> None:
    graph = block_graph(block)
    x = images(graph, seed)
    with torch.no_grad():
        expected = ByHand(block)(torch.from_numpy(x)).numpy()
    assert graph.output_shape == expected.shape
    for run in (run_torch, run_onnx, run_litert):
        assert error(run(graph, x), expected) < TOLERANCE


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (Block("conv", 8, 8, 0, 8, 3, 1, "relu", True, False), "squeeze_excite"),
        (Block("bottleneck", 8, 8, 8, 8, 3, 1, "relu", True, True), "squeeze_excite"),
        (Block("mbconv_se_in", 8, 8, 8, 8, 3, 1, "relu", False, True), "squeeze_excite"),
        (Block("feature_mix", 8, 8, 0, 16, 3, 1, "relu", False, False), "kernel_size"),
        (Block("feature_mix", 8, 8, 0, 8, 1, 1, "relu", False, True), "skip"),
        (Block("max_pool", 8, 8, 0, 8, 5, 2, "none", False, False), "kernel_size"),
        (Block("max_pool", 8, 8, 0, 8, 3, 1, "none", False, False), "stride"),
        (Block("max_pool", 8, 8, 0, 16, 3, 2, "none", False, False), "out_channels"),
        (Block("global_pool", 8, 8, 0, 16, 1, 1, "none", False, False), "out_channels"),
        (Block("global_pool", 8, 8, 0, 8, 1, 1, "relu", False, False), "activation"),
        (Block("linear", 7, 8, 0, 10, 1, 1, "none", False, False), "in_size"),
        (Block("linear", 1, 8, 0, 10, 1, 1, "relu", False, False), "activation"),
    ],
    ids=str,
)
def test_a_block_that_claims_what_no_op_computes_is_refused(block: Block, field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is .*, but {block.op} has only "):
        block_graph(block)


@pytest.mark.parametrize("runtime", ["onnxruntime", "ai-edge-litert", "tflite-runtime"])
@pytest.mark.parametrize(("name", "resolution"), [("mbv3-w1.0", 100), ("proxyless-w1.3", 96), ("resnet50d", 100)])
def test_whole_networks(name: str, resolution: int, runtime: str) -> None:
    space = get_space(name)
    subnet = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[resolution]))[0]
    graph = network_graph(blocks_of(space, subnet))
    assert graph.output_shape == (1, 1000)
    x = images(graph)
    assert error(RUNTIMES[runtime](graph, x), run_torch(graph, x)) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mbv3-w0.25", "b4810d8986ae22b5"),
        ("proxyless-w0.25", "d45b03abc75adb47"),
        ("resnet50d", "db4a6c7c94cc4b50"),
    ],
)
def test_blocks_are_the_graphs_that_tables_were_measured_with(name: str, expected: str) -> None:
    """Their nodes, shapes and layers' names, from which random weights are drawn."""
    digest = hashlib.sha256()

    def weights(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        digest.update(repr((layer, shape, bias)).encode())
        return np.zeros(shape, np.float32), np.zeros(shape[:1], np.float32) if bias else None

    for block in all_blocks(get_space(name, 10, (0.1, 0.2) if name == "resnet50d" else None), (75,)):
        graph = block_graph(block, weights=weights)
        nodes = [(node.op, node.inputs, node.stride, node.groups, node.activation) for node in graph.nodes]
        digest.update(repr((nodes, graph.shapes)).encode())
    assert digest.hexdigest()[:16] == expected


@pytest.mark.parametrize("write", [write_onnx, write_tflite, write_torchscript])
def test_a_seed_gives_the_same_bytes_and_another_does_not(write: Callable[[Graph], bytes]) -> None:
    block = BLOCKS[5]
    assert write(block_graph(block, seed=1)) == write(block_graph(block, seed=1))
    assert write(block_graph(block, seed=1)) != write(block_graph(block, seed=2))


def test_a_seed_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from ofa.blocks import Block; from ofa.graph import block_graph;"
        "from ofa.graph.onnx import write_onnx;"
        f"print(hashlib.sha256(write_onnx(block_graph({BLOCKS[5]!r}, seed=1))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_activations_of_deep_networks_stay_finite_and_alive() -> None:
    space = get_space("mbv3-w1.0")
    graph = network_graph(blocks_of(space, space.subnet([7] * 20, [6] * 20, [4] * 5, 64)))
    y = run_torch(graph, images(graph))
    assert np.isfinite(y).all()
    assert 0.1 < np.abs(y).mean() < 1e4


def test_onnx_models_are_valid_and_carry_their_metadata() -> None:
    import onnx

    for block in BLOCKS:
        model = onnx.load_from_string(write_onnx(block_graph(block), {"labels": "cat\ndog"}))
        onnx.checker.check_model(model, full_check=True)
        assert {p.key: p.value for p in model.metadata_props} == {"labels": "cat\ndog"}
        assert (model.ir_version, [opset.version for opset in model.opset_import]) == (9, [18])
        # the checker lets Clip's bounds pass as vectors of one element; the specification does not
        dims = {constant.name: list(constant.dims) for constant in model.graph.initializer}
        bounds = [name for node in model.graph.node if node.op_type == "Clip" for name in node.input[1:]]
        assert [dims[name] for name in bounds] == [[]] * len(bounds)


def test_tflite_models_carry_a_signature_and_their_metadata() -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    content = write_tflite(block_graph(BLOCKS[0]), {"labels": "cat\ndog"})
    signatures = Interpreter(model_content=content).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["input"], "outputs": ["output"]}}
    model = schema.ModelT.InitFromPackedBuf(content)
    (entry,) = model.metadata
    assert entry.name == b"labels"
    assert bytes(model.buffers[entry.buffer].data) == b"cat\ndog"


def test_data_in_tflite_models_is_aligned_as_the_schema_demands() -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = np.frombuffer(write_tflite(network_graph([BLOCKS[5]]), {"labels": "cat"}), np.uint8)
    model = schema.Model.GetRootAs(content.tobytes(), 0)
    data = [model.Buffers(i).DataAsNumpy() for i in range(1, model.BuffersLength())]
    base = np.frombuffer(model._tab.Bytes, np.uint8).__array_interface__["data"][0]
    assert len(data) > 10
    assert {(array.__array_interface__["data"][0] - base) % 16 for array in data} == {0}


def test_torchscript_models_carry_their_metadata_and_take_any_batch() -> None:
    content = io.BytesIO(write_torchscript(block_graph(BLOCKS[0]), {"labels": "cat\ndog"}))
    found = {"labels": ""}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is in maintenance
        module = torch.jit.load(content, _extra_files=found)
        assert module(torch.zeros(5, 3, 33, 33)).shape == (5, 16, 17, 17)
    assert found == {"labels": b"cat\ndog"}


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [("onnx", "onnx", "onnxruntime"), ("tflite", "ai_edge_litert", "tflite"), ("tflite", "flatbuffers", "tflite")],
)
def test_a_missing_package_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, package: str, extra: str
) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: object, **others: object) -> object:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return original(name, *arguments, **others)

    monkeypatch.delitem(sys.modules, f"ofa.graph.{kind}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf"pip install 'ofa-latency\[{extra}\]'"):
        getattr(importlib.import_module(f"ofa.graph.{kind}"), f"write_{kind}")(block_graph(BLOCKS[0]))


def test_importing_the_graph_and_onnx_writer_loads_no_runtime() -> None:
    program = "import sys, ofa.graph, ofa.graph.onnx, ofa.graph.torch; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"torch", "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers"} & set(loaded)


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit on a tensor of shape"):
        network_graph([BLOCKS[0], BLOCKS[0]])


def test_trained_weights_take_the_place_of_random_ones() -> None:
    asked: dict[str, tuple[int, ...]] = {}

    def ones(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        asked[layer] = shape
        return np.ones(shape, np.float32), np.zeros(shape[0], np.float32) if bias else None

    graph = network_graph([Block("mbconv", 4, 8, 24, 8, 3, 1, "relu", True, False)], weights=ones)
    assert asked == {
        "0.expand": (24, 8, 1, 1),
        "0.depthwise": (24, 1, 3, 3),
        "0.se_reduce": (8, 24, 1, 1),
        "0.se_expand": (24, 8, 1, 1),
        "0.project": (8, 24, 1, 1),
    }
    assert run_torch(graph, np.ones(graph.input_shape, np.float32))[0, 0, 1, 1] == 24 * 8 * 9


def test_layers_of_a_network_are_called_by_the_position_of_their_block() -> None:
    asked: list[str] = []

    def spy(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        asked.append(layer)
        return RandomWeights(0)(layer, shape, bias)

    conv = Block("conv", 4, 8, 0, 8, 3, 1, "relu", False, True)
    pool = Block("global_pool", 4, 8, 0, 8, 1, 1, "none", False, False)
    linear = Block("linear", 1, 8, 0, 10, 1, 1, "none", False, False)
    network_graph([conv, conv, pool, linear], weights=spy)
    assert asked == ["0.conv", "1.conv", "3.linear"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_max_pooling_is_right_after_layers_that_can_be_negative(activation: str) -> None:
    conv = Block("conv", 8, 3, 0, 8, 3, 1, activation, False, False)

    def negative(layer: str, shape: tuple[int, ...], bias: bool) -> tuple[np.ndarray, np.ndarray | None]:
        return RandomWeights(0)(layer, shape, bias)[0] / 100, np.full(shape[0], -1, np.float32)

    graph = network_graph([conv, Block("max_pool", 8, 8, 0, 8, 3, 2, "none", False, False)], weights=negative)
    x = images(graph)
    assert np.abs(run_litert(graph, x) - run_torch(graph, x)).max() < TOLERANCE
