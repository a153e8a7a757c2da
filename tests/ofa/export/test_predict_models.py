"""python -m ofa.predict with models from elsewhere, edited and damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ofa.errors import InputError
from ofa.graph.tflite import add_metadata
from ofa.predict.__main__ import main
from ofa.predict.model import tflite_metadata
from tests.helpers.programs import ended
from tests.ofa.export.predicted import predicted
from tests.ofa.model_files.planted import with_later_operators

from .conftest import CATEGORIES

# ---- models from elsewhere


def without_metadata(path: Path, change: Callable[[onnx.ModelProto], object] = lambda _: None) -> bytes:
    model = onnx.load(path)
    del model.metadata_props[:]
    change(model)
    return model.SerializeToString()


def with_softmax(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["output"], axis=1))


def of_any_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    flat = [node for node in model.graph.node if node.op_type == "Flatten"]
    assert flat  # works for any batch


def renamed(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "pixels"
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "input" else name for name in node.input]


@pytest.mark.parametrize("change", [lambda _: None, with_softmax, of_any_batch, renamed])
def test_a_model_from_elsewhere_is_as_good_once_it_is_said_how(
    models: Path, photographs: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], object]
) -> None:
    other, val = tmp_path / "other.onnx", photographs / "val"
    other.write_bytes(without_metadata(models / "float.onnx", change))
    with pytest.raises(InputError, match=r"other\.onnx does not state how its images are prepared: give --mean"):
        main([str(val), f"--model={other}"])
    found = predicted(tmp_path / "o.json", val, "--model", other, "--mean", "imagenet")
    expected = predicted(tmp_path / "p.json", val, "--model", models / "float.onnx")
    np.testing.assert_allclose(np.stack([*found.values()]), np.stack([*expected.values()]), atol=1e-5)
    assert json.loads((tmp_path / "o.json").read_text())["classes"] == [f"class {i}" for i in range(4)]
    predicted(tmp_path / "n.json", val, "--model", other, "--mean=imagenet", f"--labels={models / 'labels.txt'}")
    named = [json.loads((tmp_path / name).read_text())["classes"] for name in ("n.json", "p.json")]
    assert named[0] == named[1]


def of_bytes(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node.insert(0, helper.make_node("Cast", ["input"], ["cast"], to=TensorProto.FLOAT))
    for node in model.graph.node[1:]:
        node.input[:] = ["cast" if name == "input" else name for name in node.input]


def of_two_outputs(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["output"], ["second"]))
    model.graph.output.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [7, 4]))


def of_any_size(model: onnx.ModelProto) -> None:
    for i in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = "side"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_bytes, r"input and output are tensor\(uint8\) and tensor\(float\), expected"),
        (of_two_outputs, "has 1 inputs and 2 outputs, expected one of each"),
        (of_any_size, r"its input is \(7, 3, side, side\), expected \(batch, 3, R, R\) with one R, fixed in the file"),
    ],
)
def test_what_is_no_classifier_of_images_is_refused(
    models: Path, photographs: Path, tmp_path: Path, change: Callable[[onnx.ModelProto], object], message: str
) -> None:
    (tmp_path / "o.onnx").write_bytes(without_metadata(models / "float.onnx", change))
    with pytest.raises(InputError, match=message):
        main([str(photographs), f"--model={tmp_path / 'o.onnx'}", "--mean=imagenet"])


def changed(path: Path, metadata: Mapping[str, str]) -> bytes:
    """A model with other metadata."""
    if path.suffix == ".tflite":
        return add_metadata(path.read_bytes(), metadata)
    model = onnx.load(path)
    found = {p.key: p.value for p in model.metadata_props} | metadata
    helper.set_model_props(model, found)
    return model.SerializeToString()


@pytest.mark.parametrize("name", ["float.onnx", "float.tflite"])
@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"resolution": "65\x1b[2J"}, r"has resolution '65\\x1b\[2J', expected 64"),
        ({"layout": "CHWN"}, "has layout 'CHWN', expected N"),
        ({"channels": "BGR"}, "has channels 'BGR', expected RGB"),
        ({"scale": "pixel"}, "has scale 'pixel', expected pixel / 255"),
        ({"labels": "a\nb"}, "names 2 classes, but it has 4"),
        ({"images": "{"}, "damaged metadata"),
        ({"images": "[" * 9000}, "damaged metadata"),
        ({"images": '{"mean": [0, 0, 0], "std": [0, 0, 0]}'}, "std is .* expected more than 0"),
    ],
)
def test_damaged_metadata_are_refused_in_one_line(
    models: Path, photographs: Path, tmp_path: Path, name: str, metadata: dict[str, str], message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(changed(models / name, metadata))
    with pytest.raises(InputError, match=message) as refused:
        main([str(photographs), f"--model={path}"])
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["float.onnx", "int8.tflite"])
@pytest.mark.parametrize("damage", ["empty", "png", "cut", "zeros", "text"])
def test_a_damaged_model_is_refused_in_one_line(
    models: Path, photographs: Path, tmp_path: Path, name: str, damage: str
) -> None:
    content, path = (models / name).read_bytes(), tmp_path / name
    head = content[:8]
    damaged = {
        "empty": b"",
        "png": (photographs / "val" / "brick" / "0.jpg").read_bytes(),
        "cut": content[: len(content) // 2],
        "zeros": head + bytes(len(content) - 8),
        "text": head + b"a,b\n" * 500,
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=name) as refused:
        main([str(photographs), f"--model={path}"])
    assert len(str(refused.value)) - len(str(path)) < 300


def test_another_kind_of_file_is_called_by_its_name(models: Path, photographs: Path) -> None:
    with pytest.raises(InputError, match="is a specialised network, expected an ONNX model or a TFLite model"):
        main([str(photographs), f"--model={models / 'net.safetensors'}"])
    with pytest.raises(InputError, match="FILE is needed"):
        main([f"--model={models / 'float.onnx'}"])


def test_what_contradicts_the_model_is_refused_or_marked(
    models: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [photographs / "val" / "brick", "--model", models / "float.onnx", "--mean", "half"]
    done = ended(main, capsys, *given)
    assert done.returncode == 2
    assert "was trained with mean 0.485" in done.stderr
    done = ended(main, capsys, *given, "--override-preprocessing")
    assert done.returncode == 0
    assert "warning: prepared with mean 0.5" in done.stderr
    (tmp_path / "labels.txt").write_text("\n".join(reversed([f"{category} texture" for category in CATEGORIES])))
    with pytest.raises(InputError, match="label 0 is water texture, but that logit is brick texture"):
        main([*map(str, given[:3]), f"--labels={tmp_path / 'labels.txt'}"])


def test_metadata_of_tflite_that_are_no_text_are_passed_over(models: Path) -> None:
    content = (models / "float.tflite").read_bytes()
    found = tflite_metadata(content)
    assert found["labels"].split("\n") == [f"{category} texture" for category in CATEGORIES]
    marked = content.replace(b"brick texture", b"brick\xff\xfe\xfdxture")
    assert set(found) - set(tflite_metadata(marked)) == {"labels", "images"}


# ---- operators that the runtime lacks


def of_a_vendor(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.vendor", 1))
    next(node for node in model.graph.node if node.op_type == "QuantizeLinear").domain = "com.vendor"


def test_an_int8_file_with_operators_that_its_runtime_lacks_names_them_and_the_way_out(
    models: Path, photographs: Path, tmp_path: Path
) -> None:
    model = onnx.load(models / "int8.onnx")
    of_a_vendor(model)
    (tmp_path / "vendor.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "later.tflite").write_bytes(with_later_operators((models / "int8.tflite").read_bytes(), "CONV_2D"))
    ways_out = {
        "vendor.onnx": r"onnxruntime [\d.]+ lacks the operator com\.vendor:QuantizeLinear: install a newer onnxruntime "
        r"\(pip install -U onnxruntime\), or export the network again with an older --opset, or as --format tflite$",
        "later.tflite": r"ai-edge-litert [\d.]+ lacks the operator CONV_2D of version 99: install a newer "
        r"ai-edge-litert \(pip install -U ai-edge-litert\), or export the network again as --format onnx$",
    }
    for name, words in ways_out.items():
        with pytest.raises(InputError, match=rf"{name} does not run here: {words}"):
            main([str(photographs / "val"), f"--model={tmp_path / name}"])
