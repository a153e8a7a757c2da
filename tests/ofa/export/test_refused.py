"""python -m ofa.export: each refusal names what is wrong, and nothing is written."""

import json
import os
import pickle
import warnings
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ofa.errors import InputError
from ofa.export.__main__ import main
from tests.ofa.export.exported import of

from .conftest import Toy

# ---- refusals: each names what is wrong, and nothing is written


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("unpickled",)


def _edited(toy: Toy, folder: Path, **changes) -> list[str]:
    content = json.loads(toy.result.read_text())
    content["results"][0]["subnet"].update(changes.pop("subnet", {}))
    content.update(changes)
    (folder / "result.json").write_text(json.dumps(content))
    return [f"--subnet={folder / 'result.json'}"]


def _checkpoint(toy: Toy, folder: Path, kind: str) -> list[str]:
    path = folder / "w"
    if kind == "hostile":
        path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    elif kind == "truncated":
        path.write_bytes(toy.checkpoint.read_bytes()[:5000])
    elif kind == "nan":
        with warnings.catch_warnings():
            tensors = load_file(toy.checkpoint)
        tensors["classifier.linear.bias"][1] = float("nan")
        save_file(tensors, path)
    return [f"--checkpoint={path}"]


WEIGHTS = ["--format=safetensors", "--out=GIVEN/m.safetensors"]
REFUSED = {
    "another space": (lambda t, f: _edited(t, f, space="mbv3-w1.0"), r"w0\.35, not mbv3-w1\.0"),
    "class count": (lambda t, f: _edited(t, f, num_classes=1000), r"has 4 classes, but .*result\.json states 1000"),
    "wrong gene": (lambda t, f: _edited(t, f, subnet={"depths": [2, 2, 9, 2, 2]}), r"result\.json.*depths\[2\] is 9"),
    "wrong length": (lambda t, f: _edited(t, f, subnet={"depths": [2]}), r"result\.json.*depths has 1 values"),
    "no resolution": (lambda t, f: _edited(t, f, subnet={"resolution": "big"}), r"resolution is 'big'"),
    "no results": (lambda t, f: _edited(t, f, results=[]), r"result\.json has no results: no network keeps a limit"),
    "no such file": (["--subnet=GIVEN/none.json"], r"none\.json: no such file"),
    "index": (["--index=7"], r"--index is 7, but .*result\.json has results 0 to 1"),
    "limit": (["--limit=nan"], "--limit is nan"),
    "hostile pickle": (lambda t, f: _checkpoint(t, f, "hostile"), "would run code, which is refused"),
    "truncated": (lambda t, f: _checkpoint(t, f, "truncated"), "damaged safetensors file"),
    "nan": (lambda t, f: _checkpoint(t, f, "nan"), r"classifier\.linear\.bias holds values that are not finite"),
    "absent": (lambda t, f: _checkpoint(t, f, "absent"), "no such file or folder"),
    "resolution": (["--resolution=8"], "--resolution is 8"),
    "int8 without images": (["--int8"], "--calibration"),
    "int8 torchscript": (["--int8", "--format=torchscript", "--out=GIVEN/m.pt"], "--int8 is for onnx and tflite"),
    "batch of weights": ([*WEIGHTS, "--batch=dynamic"], "--batch is of files that run, --format safetensors holds"),
    "no images": (["--calibration=GIVEN"], "holds no images"),
    "no folder": (["--calibration=GIVEN/none"], "no such folder"),
    "no std": (["--std=0"], "--std is 0"),
    "out of another format": (
        ["--out=GIVEN/m.tflite"],
        r"m\.tflite, the name of a file of tflite, but --format is onnx",
    ),
    "unknown space": (lambda t, f: _edited(t, f, space="mbv9"), r"result\.json: .*mbv9"),
    "out is a folder": (["--out=GIVEN"], "is a folder: name a file"),
    "out below a file": (["--out=RESULT/m.onnx"], "cannot be written"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options, message = REFUSED[case]
    given = tmp_path / "given"
    given.mkdir()
    if not isinstance(options, list):
        options = options(toy, given)
    options = [option.replace("GIVEN", str(given)).replace("RESULT", str(toy.result)) for option in options]
    with pytest.raises(InputError, match=message):
        main([*of(toy, tmp_path / "out" / "m.onnx"), *options])
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\nc\n", "holds 3 labels, but the network has 4 classes"),
        ("a\n\nc\nd\n", "label 1 is empty"),
        ('["a", 2, "c", "d"]', "label 1 is 2, expected text"),
        ('{"0": "a", "2": "c"}', "no label 1"),
        ("[", "not JSON"),
    ],
)
def test_refused_labels(toy: Toy, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        main(of(toy, tmp_path / "m.onnx", f"--labels={path}"))


def test_a_folder_of_broken_images_alone(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"none of 1 images can be read, the first is a\.png"):
        main(of(toy, tmp_path / "m.onnx", f"--calibration={tmp_path / 'images'}", "--allow-poor-calibration"))


def test_an_older_file_survives_a_failed_export(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "m.onnx"
    out.write_bytes(b"older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"m\.onnx cannot be written: No space left on device"):
        main(of(toy, out))
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert out.read_bytes() == b"older"
