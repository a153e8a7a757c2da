"""Files whose batch is left open, and of other opsets: the same outputs, for every operator."""

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from ofa.blocks import Block
from ofa.blocks.operators import OPERATORS
from ofa.graph import Graph, block_graph
from ofa.graph.onnx import OLDEST_OPSET, OPSET, write_onnx
from ofa.graph.tflite import write_tflite

from .layers import BLOCKS as ALL

NEWEST = onnx.defs.onnx_opset_version()
# every operator, with every activation that it has there
BLOCKS = [*{(block.op, block.activation): block for block in ALL}.values()]


def images(graph: Graph, count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *graph.input_shape[1:]), dtype=np.float32)


def by_onnx(content: bytes, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"input": x})[0]
    return found


def by_tflite(content: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content, num_threads=1)
    found: np.ndarray = interpreter.get_signature_runner()(input=np.ascontiguousarray(x.transpose(0, 2, 3, 1)))[
        "output"
    ]
    return found


def test_every_operator_is_among_them() -> None:
    assert {block.op for block in BLOCKS} == set(OPERATORS)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_any_batch(block: Block) -> None:
    graph = block_graph(block)
    x = images(graph, 5)
    for write, run in ((write_onnx, by_onnx), (write_tflite, by_tflite)):
        closed, opened = write(graph), write(graph, any_batch=True)
        expected = np.concatenate([run(closed, image[None]) for image in x])
        for count in (1, 5):
            np.testing.assert_allclose(run(opened, x[:count]), expected[:count], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_opset(block: Block) -> None:
    graph = block_graph(block)
    x = images(graph, 1)
    expected = by_onnx(write_onnx(graph), x)
    for opset in {*range(OLDEST_OPSET, NEWEST + 1)} - {OPSET}:
        content = write_onnx(graph, opset=opset)
        assert onnx.load_from_string(content).opset_import[0].version == opset
        np.testing.assert_allclose(by_onnx(content, x), expected, atol=1e-5, rtol=1e-5)


def test_the_usual_opset_is_written_as_ever() -> None:
    graph = block_graph(BLOCKS[0])
    assert write_onnx(graph, opset=OPSET) == write_onnx(graph)
    assert onnx.load_from_string(write_onnx(graph)).ir_version == 9
    assert onnx.load_from_string(write_onnx(graph, opset=11)).ir_version < 9
