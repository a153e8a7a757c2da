"""Model files: their bytes, signatures and metadata, and the packages that write them."""

import builtins
import importlib
import io
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ofa.errors import InputError
from ofa.graph import Graph, block_graph, network_graph
from ofa.graph.onnx import write_onnx
from ofa.graph.tflite import write_tflite
from ofa.graph.torch import write_torchscript
from tests.ofa.graph.layers import BLOCKS


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
