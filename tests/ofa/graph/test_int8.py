"""int8 files: they compute what the float block does, and PyTorch's rounding, with the kernels of other quantisers."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from ofa.blocks import OPERATORS, Block, blocks_of
from ofa.graph import Graph, RandomWeights, block_graph, network_graph
from ofa.graph.expected import as_normalised
from ofa.graph.fake_int8 import TOGETHER, fake_int8, observed_ranges
from ofa.graph.int8 import Borders, Range, Ranges, borders_of, int8_weights
from ofa.graph.onnx import write_onnx
from ofa.graph.onnx_int8 import write_onnx_int8
from ofa.graph.tflite import write_tflite
from ofa.graph.tflite_int8 import write_tflite_int8
from ofa.graph.torch import build_torch
from ofa.space import get_space
from tests.ofa.graph.layers import BLOCKS
from tests.ofa.graph.quantisers import by_ai_edge_quantizer, by_onnxruntime

# a network in small: all that int8 does differently, one after the other
CHAIN = [
    Block("conv", 33, 3, 0, 16, 3, 2, "h_swish", False, False),
    Block("mbconv", 17, 16, 48, 16, 5, 1, "h_swish", True, True),
    Block("mbconv", 17, 16, 48, 24, 3, 2, "relu", False, False),
    Block("global_pool", 9, 24, 0, 24, 1, 1, "none", False, False),
    Block("feature_mix", 1, 24, 0, 64, 1, 1, "h_swish", False, False),
    Block("linear", 1, 64, 0, 10, 1, 1, "none", False, False),
]

Run = Callable[[Graph, Ranges, Borders, NDArray], NDArray]


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def session_of(model: bytes, keep: str = "") -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if keep:
        options.optimized_model_filepath = keep
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def int8(values: NDArray, within: Range) -> NDArray:
    return np.clip(np.rint(values / within.scale) + within.zero_point, -128, 127).astype(np.int8)


def run_onnx(graph: Graph, ranges: Ranges, borders: Borders, x: NDArray) -> NDArray:
    given = x
    if not borders.float_input:
        given = (int8(x, ranges.given).astype(np.int16) + 128).astype(np.uint8).transpose(0, 2, 3, 1)
    session = session_of(write_onnx_int8(graph, ranges, borders=borders))
    y = session.run(["output"], {"input": np.ascontiguousarray(given)})[0]
    if y.dtype == np.float32:
        return y
    signed = (y.astype(np.int16) - 128).astype(np.int8)
    return signed.transpose(0, 3, 1, 2) if signed.ndim == 4 else signed


def run_tflite(graph: Graph, ranges: Ranges, borders: Borders, x: NDArray) -> NDArray:
    from ai_edge_litert.interpreter import Interpreter

    return interpreted(Interpreter, graph, ranges, borders, x)


def run_tflite_runtime(graph: Graph, ranges: Ranges, borders: Borders, x: NDArray) -> NDArray:
    module = pytest.importorskip("tflite_runtime.interpreter", reason="tflite-runtime has wheels up to Python 3.11")
    return interpreted(module.Interpreter, graph, ranges, borders, x)


def interpreted(interpreter_of: Callable, graph: Graph, ranges: Ranges, borders: Borders, x: NDArray) -> NDArray:
    interpreter = interpreter_of(model_content=write_tflite_int8(graph, ranges, borders=borders), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    asked = x if borders.float_input else int8(x, ranges.given)
    interpreter.set_tensor(given["index"], np.ascontiguousarray(asked.transpose(0, 2, 3, 1)))
    interpreter.invoke()
    y = interpreter.get_tensor(wanted["index"])
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


RUNTIMES: dict[str, Run] = {
    "onnxruntime": run_onnx,
    "ai-edge-litert": run_tflite,
    "tflite-runtime": run_tflite_runtime,
}


def as_float(y: NDArray, within: Range) -> NDArray:
    return y if y.dtype == np.float32 else (y.astype(np.float32) - within.zero_point) * within.scale


def off(y: NDArray, expected: NDArray) -> float:
    """The root of the mean square of the difference, over that of what is expected."""
    assert y.shape == expected.shape
    return float(np.sqrt(((y - expected) ** 2).mean() / (expected**2).mean()))


def in_float(graph: Graph, x: NDArray) -> NDArray:
    with torch.no_grad():
        return build_torch(graph)(torch.from_numpy(x)).numpy()


# ---- a block's file against its float


def test_the_blocks_below_are_of_every_operator() -> None:
    assert {block.op for block in BLOCKS} == set(OPERATORS)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_blocks_int8_file_computes_the_float_block_within_what_256_steps_allow(runtime: str) -> None:
    for block in BLOCKS:
        graph, ranges = as_normalised(block_graph(block))
        borders, x = borders_of(graph), noise(graph.input_shape)
        y = RUNTIMES[runtime](graph, ranges, borders, x)
        assert y.dtype == (np.float32 if block.op == "linear" else np.int8)
        assert off(as_float(y, ranges.after[-1]), in_float(graph, x)) < 0.08, block


def test_what_is_written_for_openvino_changes_no_value() -> None:
    """Of all 256 values."""
    rng, compared = np.random.default_rng(0), 0
    for block in BLOCKS:
        graph, ranges = as_normalised(block_graph(block))
        borders = borders_of(graph)
        if borders.float_input:
            continue
        n, c, h, w = graph.input_shape
        given = rng.integers(0, 256, (n, h, w, c), np.uint8)
        once, again = (
            session_of(write_onnx_int8(graph, ranges, borders=borders, for_openvino=of)).run(None, {"input": given})
            for of in (False, True)
        )
        np.testing.assert_allclose(again[0], once[0], atol=1e-6, err_msg=str(block))
        compared += 1
    assert compared > 5


def test_expected_ranges_hold_what_noise_makes_of_a_block_and_not_much_more() -> None:
    for block in BLOCKS:
        graph, ranges = as_normalised(block_graph(block))
        seen = observed_ranges(graph, [torch.from_numpy(noise((30, *graph.input_shape[1:])))])
        for found, expected in zip(seen.after, ranges.after, strict=True):
            width = expected.high - expected.low
            assert found.low > expected.low - 0.3 * width, block
            assert found.high < expected.high + 0.3 * width, block
            assert width < 4 * (found.high - found.low), block


def test_a_normalised_networks_ranges_are_of_one_size_however_deep() -> None:
    space = get_space("mbv3-w1.0")
    random = network_graph(blocks_of(space, space.subnet([3] * 20, [6] * 20, [4] * 5, 96)))
    graph, ranges = as_normalised(random)
    assert all(of.high - of.low < 30 for of in (*ranges.before, *ranges.after))
    # those of random weights are not; and then an h-swish is quantised as a ReLU is
    unscaled = observed_ranges(random, [torch.from_numpy(noise(random.input_shape))])
    assert max(of.high for of in unscaled.after) > 1000
    swishes = [i for i, node in enumerate(graph.nodes) if node.activation == "h_swish"]
    points = [{found.after[i].zero_point > -128 for i in swishes} for found in (ranges, unscaled)]
    assert points == [{True}, {True, False}]


# ---- one way of rounding


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pytorch_rounds_as_the_files_do(runtime: str) -> None:
    graph = network_graph(CHAIN)
    ranges = observed_ranges(graph, [torch.from_numpy(noise((20, *graph.input_shape[1:]), seed=1))])
    x = noise(graph.input_shape)
    y = RUNTIMES[runtime](graph, ranges, borders_of(graph), x)
    with torch.no_grad():
        expected = fake_int8(graph, ranges)(torch.from_numpy(x)).numpy()
    steps = np.abs(y - expected) / ranges.after[-1].scale
    assert steps.max() < 4, "a value at the edge of two steps may fall on either side"
    assert steps.mean() < 1.5
    assert off(y, in_float(graph, x)) < 0.2


def test_ranges_are_the_mean_extremes_of_ten_images_in_whatever_batches_they_come() -> None:
    graph = block_graph(CHAIN[1])
    images = torch.from_numpy(noise((4 * TOGETHER + 3, *graph.input_shape[1:])))
    whole = observed_ranges(graph, [images])
    sevens = observed_ranges(graph, images.split(7))
    found = [(of.given, *of.before, *of.after) for of in (sevens, whole)]
    for a, b in zip(*found, strict=True):
        # a processor may have another kernel for seven images, which adds in another order
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-5, abs=1e-5)
    extremes = [part.max().item() for part in images.split(TOGETHER)]
    assert whole.given.high == pytest.approx(np.mean(extremes))


def test_what_makes_no_new_values_keeps_its_own_inputs_steps() -> None:
    """A shuffle, which is written in three parts, and a pooling: each after blocks of other steps."""
    grouped = Block("uib_g2", 17, 16, 32, 24, 3, 1, "relu", False, False)
    graph = network_graph([CHAIN[0], grouped, Block("max_pool", 17, 24, 0, 24, 3, 2, "none", False, False)])
    ranges = observed_ranges(graph, [torch.from_numpy(noise(graph.input_shape))])
    model = onnx.load_from_string(write_onnx_int8(graph, ranges))
    made_by = {name: node for node in model.graph.node for name in node.output}
    values = {each.name: onnx.numpy_helper.to_array(each).item() for each in model.graph.initializer if not each.dims}
    kinds = Counter[str]()
    for node in model.graph.node:
        moved = made_by.get(node.input[0])
        if node.op_type == "QuantizeLinear" and moved and moved.op_type in ("Reshape", "Transpose", "MaxPool"):
            kinds[moved.op_type] += 1
            steps = [[values[name] for name in of.input[1:]] for of in (made_by[moved.input[0]], node)]
            assert steps[0] == steps[1], moved.op_type
    assert kinds == {"Reshape": 2, "Transpose": 1, "MaxPool": 1}


# ---- the parts of a network


def test_a_network_in_parts_has_no_quantisation_that_the_whole_has_not(tmp_path) -> None:
    """Nor a transposition, in onnxruntime's own form of the models, but of single pixels, where nothing moves."""

    def kernels(chain: list[Block]) -> Counter[str]:
        graph, ranges = as_normalised(network_graph(chain))
        model = write_onnx_int8(graph, ranges, borders=borders_of(graph))
        session_of(model, str(tmp_path / "kernels.onnx"))
        return Counter(node.op_type for node in onnx.load(tmp_path / "kernels.onnx").graph.node)

    parts, whole = sum((kernels([block]) for block in CHAIN), Counter[str]()), kernels(CHAIN)
    assert parts - whole == Counter({"Transpose": 2})
    assert not whole - parts


def test_parts_one_after_the_other_compute_the_whole_network_bit_for_bit() -> None:
    graph = network_graph(CHAIN)
    ranges = observed_ranges(graph, [torch.from_numpy(noise((20, *graph.input_shape[1:]), seed=1))])
    x = noise(graph.input_shape)
    for run in (run_onnx, run_tflite):
        whole, passed, done = run(graph, ranges, borders_of(graph), x), x, 0
        for position, block in enumerate(CHAIN):
            part = Graph((1, block.in_channels, block.in_size, block.in_size))
            part.block(block, RandomWeights(0), f"{position}.")
            count = len(part.nodes)
            own = Ranges(ranges.tensor(done), ranges.before[done : done + count], ranges.after[done : done + count])
            y = run(part, own, borders_of(part), as_float(passed, own.given))
            passed, done = y, done + count
        np.testing.assert_array_equal(passed, whole)


# ---- the same as the runtimes' own tools make


def test_onnx_files_have_the_integer_kernels_of_onnxruntimes_quantiser_and_no_others(tmp_path) -> None:
    graph, images = network_graph(CHAIN), noise((TOGETHER, 3, 33, 33), 1)
    theirs = by_onnxruntime(write_onnx(graph), np.split(images, len(images)))
    ours = write_onnx_int8(graph, observed_ranges(graph, [torch.from_numpy(images)]))
    kernels, outputs, x = [], [], noise(graph.input_shape, 99)
    for name, model in (("theirs", theirs), ("ours", ours)):
        session = session_of(model, str(tmp_path / name))
        outputs.append(session.run(None, {"input": x})[0])
        kernels.append(Counter(node.op_type for node in onnx.load(tmp_path / name).graph.node))
    assert kernels[0] == kernels[1]
    assert (kernels[0]["QLinearConv"], kernels[0]["QLinearAdd"]) == (10, 1)
    assert not kernels[0].keys() & {"Conv", "Add", "FusedConv"}, "nothing that has integer kernels is left in float"
    assert off(outputs[1], outputs[0]) < 0.1


def test_tflite_files_have_the_integer_operators_of_ai_edge_quantizer_and_no_others() -> None:
    pytest.importorskip("ai_edge_quantizer")
    from ai_edge_litert.interpreter import Interpreter

    graph, images = network_graph(CHAIN), noise((TOGETHER, 3, 33, 33), 1)
    at_once = write_tflite(network_graph(CHAIN, batch=TOGETHER))
    theirs = by_ai_edge_quantizer(write_tflite(graph), at_once, [images])
    ours = write_tflite_int8(graph, observed_ranges(graph, [torch.from_numpy(images)]))
    operators, outputs, x = [], [], noise(graph.input_shape, 99)
    for model in (theirs, ours):
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
        kinds = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
        made = [op for op in interpreter._get_ops_details() if op["op_name"] != "DELEGATE"]
        operators.append(Counter((op["op_name"], kinds[op["outputs"][0]]) for op in made))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.transpose(0, 2, 3, 1))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert operators[0] == operators[1]
    assert off(outputs[1], outputs[0]) < 0.1


# ---- what is rounded


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(0.0, 6.0, -128), (-1.0, 0.0, 127), (-1.28, 1.27, 0), (0.0, 0.0, -128), (-1.0, 3.0, -64)]
)
def test_zero_is_a_step_of_every_range(low: float, high: float, zero: int) -> None:
    values = Range(low, high)
    assert values.zero_point == zero
    assert (values.high - values.low) == pytest.approx(255 * float(values.scale) if high > low else 0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 2.0), (-2.0, -1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_range_without_zero_or_end_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="is not finite, or does not hold 0"):
        Range(low, high)


def test_a_channel_of_no_weights_keeps_its_bias() -> None:
    graph = network_graph(CHAIN[-1:])
    node = graph.nodes[-1]
    assert node.weight is not None
    assert node.bias is not None
    node.weight[3] = 0
    node.bias[3] = 0.37
    found = int8_weights(node, Range(-4, 4))
    assert found.bias is not None
    assert found.bias[3] * Range(-4, 4).scale * found.scales[3] == pytest.approx(0.37, rel=1e-6)
    assert not found.values[3].any()


def test_whole_networks_take_images_and_give_logits_in_float32() -> None:
    space = get_space("mbv3-w1.0")
    subnet = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[128]))[0]
    assert borders_of(network_graph(blocks_of(space, subnet))) == Borders(True, True)
    assert borders_of(block_graph(CHAIN[1])) == Borders(False, False)
