"""Files that the next tool accepts: integers in and out, pixels in, any batch, older and newer opsets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from ofa.errors import InputError
from ofa.evaluate.__main__ import main as evaluate
from ofa.export.__main__ import main
from ofa.export.runtimes import runner
from ofa.graph.tflite import add_metadata
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.decoding import decode
from ofa.images.preprocessing import centre_crop
from ofa.images.reading import batches
from ofa.model_files.ends import IN_FILE, Pixels, Quantised
from ofa.predict.__main__ import main as predict
from ofa.predict.model import open_model, tflite_metadata

from .conftest import CATEGORIES, PIXELS, Toy, images_for

FORMATS = ("onnx", "tflite")
# what each file is asked to be, beside its format
KINDS = {
    "float": [],
    "int8": ["--int8"],
    "integers": ["--int8", "--int8-io"],
    "pixels": ["--with-preprocessing"],
    "any": ["--batch=dynamic"],
    "int8 any": ["--int8", "--batch=dynamic", "--with-preprocessing"],
}


@pytest.fixture(scope="module")
def files(calibrated: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A file of every kind, by (kind, format)."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "labels.txt").write_text("\n".join(CATEGORIES))
    found = {}
    for kind, more in KINDS.items():
        for name in FORMATS:
            out = found[kind, name] = folder / f"{kind}.{name}"
            given = [f"--checkpoint={calibrated}", *images_for(more, photographs)]
            given += [f"--format={name}", f"--out={out}", f"--labels={folder / 'labels.txt'}", "--evaluate-images=20"]
            assert main([*given, "--calibration-images=64", *more]) == 0
    return found


@pytest.fixture(scope="module")
def images(photographs: Path) -> np.ndarray:
    """All 40 validation images, prepared."""
    ((found, _),) = batches(ImageFolder(photographs), PIXELS, 100)
    return found.numpy()


@pytest.fixture(scope="module")
def pixels(photographs: Path) -> np.ndarray:
    """The same images as people hand them over: uint8 (N, R, R, 3)."""
    folder = ImageFolder(photographs)
    cut = [centre_crop(decode((photographs / name).read_bytes()), PIXELS) for name in folder.names]
    return np.stack([np.asarray(image.convert("RGB")) for image in cut])


def metadata_of(path: Path) -> dict[str, str]:
    if path.suffix == ".tflite":
        return tflite_metadata(path.read_bytes())
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return {entry.key: entry.value for entry in model.metadata_props}


def raw(path: Path, *batches: np.ndarray) -> list[np.ndarray]:
    """What the runtime itself gives, of batches that are fed as they are."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        return [session.run(None, {"input": fed})[0] for fed in batches]
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    by_name = interpreter.get_signature_runner()  # as an app does: it resizes
    return [by_name(input=fed)["output"] for fed in batches]


def fed(path: Path, images: np.ndarray) -> np.ndarray:
    return images if path.suffix == ".onnx" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", FORMATS)
def test_integers_in_and_out_are_the_int8_model(files: Any, images: np.ndarray, name: str) -> None:
    path = files["integers", name]
    given, wanted = (json.loads(metadata_of(path)[key]) for key in ("input", "output"))
    kind = {"onnx": np.uint8, "tflite": np.int8}[name]
    assert given["dtype"] == wanted["dtype"] == kind.__name__
    ends = np.iinfo(kind)
    whole = np.clip(np.rint(images / np.float32(given["scale"])) + given["zero_point"], ends.min, ends.max).astype(kind)
    results = raw(path, *(fed(path, row[None]) for row in whole))
    assert {result.dtype for result in results} == {np.dtype(kind)}
    ours = (np.concatenate(results).astype(np.float64) - wanted["zero_point"]) * wanted["scale"]
    expected = runner(name, files["int8", name].read_bytes(), 1)(images)
    assert np.abs(ours - expected).max() <= 1.01 * wanted["scale"], (
        "the same model, but for a step of the last rounding"
    )
    assert (ours.argmax(1) == expected.argmax(1)).mean() >= 0.95
    assert len(np.unique(whole)) > 100, "the images use the whole range"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("kind", "plain"), [("pixels", "float"), ("int8 any", "int8")])
def test_pixels_are_prepared_in_the_file(files: Any, images: np.ndarray, pixels: np.ndarray, name: str, kind: str,
                                         plain: str) -> None:  # fmt: skip
    path = files[kind, name]
    assert (metadata_of(path)["scale"], metadata_of(path)["layout"]) == (IN_FILE, "NHWC")
    ours = np.concatenate(raw(path, *(row[None] for row in pixels)))
    expected = runner(name, files[plain, name].read_bytes(), 1)(images)
    tolerance = 1e-4 if plain == "float" else 0.2  # a rounding on the other side of a half is a step of int8
    assert np.abs(ours - expected).max() < tolerance * np.abs(expected).max()
    assert (ours.argmax(1) == expected.argmax(1)).mean() >= (1 if plain == "float" else 0.9)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["any", "int8 any"])
def test_any_batch_gives_what_single_images_give(files: Any, images: np.ndarray, pixels: np.ndarray, name: str,
                                                 kind: str) -> None:  # fmt: skip
    path = files[kind, name]
    many = fed(path, images) if kind == "any" else pixels
    many = np.concatenate([many, many[::-1]])  # more than the largest batch that the export tried
    expected = np.concatenate(raw(path, *(row[None] for row in many)))
    for size, ours in zip((1, 3, 80), raw(path, *(many[:size] for size in (1, 3, 80))), strict=True):
        assert len(ours) == size
        assert np.abs(ours - expected[:size]).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", FORMATS)
def test_predict_and_evaluate_take_them(files: Any, photographs: Path, tmp_path: Path, name: str, capsys: Any) -> None:
    right, shares = {}, {}
    numbers = tmp_path / "classes.txt"
    numbers.write_text("\n".join(f"{category} {i}" for i, category in enumerate(CATEGORIES)))
    for kind in set(KINDS) - {"int8"}:
        out = tmp_path / f"{kind}.json"
        options = [f"--data={photographs}", "--split=val", f"--classes={numbers}", f"--out={out}"]
        assert evaluate([f"--checkpoint={files[kind, name]}", *options]) == 0
        right[kind] = json.loads(out.read_text())["results"][0]["top1"]
        assert "ofa predict PHOTO --model" in capsys.readouterr().out.replace("python -m ofa.predict", "ofa predict")
        assert predict([f"{photographs}/val", f"--model={files[kind, name]}", f"--json={tmp_path / 'p.json'}"]) == 0
        found = json.loads((tmp_path / "p.json").read_text())["images"]
        tops = [image["top"][0]["class"] == Path(image["file"]).parent.name for image in found]
        assert 100 * np.mean(tops) == pytest.approx(right[kind]), "both count the same"
        shares[kind] = np.array([image["top"][0]["probability"] for image in found])
    np.testing.assert_allclose(shares["pixels"], shares["float"], atol=2e-5)
    np.testing.assert_allclose(shares["any"], shares["float"], atol=2e-5)
    assert right["pixels"] == right["any"] == right["float"] > 90
    assert min(right.values()) > 80


# ---- opsets


@pytest.mark.parametrize("opset", [11, 14, onnx.defs.onnx_opset_version()])
def test_an_opset_as_asked(calibrated: Path, images: np.ndarray, files: Any, photographs: Path, tmp_path: Path,
                           opset: int) -> None:  # fmt: skip
    out = tmp_path / "m.onnx"
    given = [f"--checkpoint={calibrated}", *images_for([], photographs), "--evaluate-images=20"]
    assert main([*given, "--format=onnx", f"--opset={opset}", f"--out={out}"]) == 0
    model = onnx.load(out)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert any(node.op_type == "HardSwish" for node in model.graph.node) == (opset >= 14)
    expected = runner("onnx", files["float", "onnx"].read_bytes(), 1)(images)
    np.testing.assert_allclose(runner("onnx", out.read_bytes(), 1)(images), expected, atol=1e-4)


# ---- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8-io"], r"--int8-io is of int8 files: add --int8"),
        (["--int8", "--int8-io", "--with-preprocessing"], "not allowed with"),
        (["--format=torchscript", "--with-preprocessing"], "--with-preprocessing is for onnx and tflite, but --format"),
        (["--format=tflite", "--opset=13"], "--opset is of ONNX files, but --format is tflite"),
        (["--opset=10"], r"--opset is 10, expected 11 to \d+, the newest that onnx"),
        (["--opset=99"], r"--opset is 99, expected 11 to"),
        (["--opset=12", "--int8"], "--int8 needs --opset 13 or newer: in opset 12, QuantizeLinear has one scale"),
        (["--batch=0"], "--batch is 0"),
    ],
)
def test_refused(toy: Toy, photographs: Path, tmp_path: Path, options: list[str], message: str) -> None:
    given = [f"--subnet={toy.result}", f"--checkpoint={toy.checkpoint}", f"--calibration={photographs}"]
    with pytest.raises(InputError, match=message):
        main([*given, "--format=onnx", *options, f"--out={tmp_path / 'm'}"])
    assert not (tmp_path / "m").exists()


def test_what_a_runtime_does_not_run_is_not_written(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "onnxruntime.InferenceSession", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("opset 11"))
    )
    given = [f"--subnet={toy.result}", f"--checkpoint={toy.checkpoint}", "--format=onnx"]
    with pytest.raises(InputError, match=r"--opset 11: onnxruntime [\d.]+ does not run it, try an older: opset 11"):
        main([*given, "--opset=11", f"--out={tmp_path / 'm.onnx'}"])
    said = "Could not find an implementation for QuantizeLinear(13) node with name 'q'"
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: (_ for _ in ()).throw(RuntimeError(said)))
    lacks = r"m\.onnx, since it does not run here: onnxruntime [\d.]+ lacks the operator QuantizeLinear of opset 13 for"
    with pytest.raises(InputError, match=rf"the network was not written to {tmp_path}/{lacks} .* --format tflite$"):
        main([*given, f"--out={tmp_path / 'm.onnx'}"])
    assert list(tmp_path.iterdir()) == []


def _changed(path: Path, out: Path, **changes: str) -> Path:
    """The file with other metadata."""
    if path.suffix == ".tflite":
        out.write_bytes(add_metadata(path.read_bytes(), changes))
        return out
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {e.key: e.value for e in model.metadata_props} | changes)
    onnx.save(model, out)
    return out


SCALED = '{"dtype": "int8", "scale": 0.5, "zero_point": 0}'


@pytest.mark.parametrize(
    ("kind", "name", "changes", "message"),
    [
        ("integers", "tflite", {"input": SCALED}, "metadata has other scales of input and output than its tensors"),
        (
            "float",
            "onnx",
            {"input": SCALED},
            r"expected tensor\(int8\) and tensor\(float\)",
        ),
        (
            "integers",
            "onnx",
            {"input": "{}"},
            r"expected tensor\(float\) and tensor\(uint8\)",
        ),
        ("integers", "onnx", {"producer": "x"}, r"expected tensor\(float\), as its metadata states no others"),
        ("integers", "onnx", {"input": SCALED.replace("0.5", "-1")}, "damaged metadata: input: scale is -1"),
        ("integers", "onnx", {"output": SCALED.replace("int8", "int4")}, "output: dtype is 'int4', expected int8"),
        ("integers", "onnx", {"output": SCALED.replace(": 0}", ": 900}")}, "zero_point is 900"),
        ("integers", "onnx", {"output": "[1]"}, "output: a list, expected an object"),
        (
            "pixels",
            "onnx",
            {"scale": "pixel / 255"},
            r"are tensor\(uint8\) and tensor\(float\), exp",
        ),
        ("float", "onnx", {"mean": "[0.1, 0.2, 0.3]"}, r"has mean '\[0.1, 0.2, 0.3\]', but .* in its key images"),
        ("integers", "tflite", {"std": "[0, 1, 1]"}, "std is"),
        ("float", "onnx", {"num_classes": "7"}, "has num_classes '7', expected 4"),
        ("float", "tflite", {"scale": IN_FILE}, "metadata has other scales|are float32 and float32, expected uint8"),
    ],
)
def test_metadata_that_is_not_the_file_s(files: Any, tmp_path: Path, kind: str, name: str, changes: dict[str, str],
                                         message: str) -> None:  # fmt: skip
    with pytest.raises(InputError, match=message):
        open_model(_changed(files[kind, name], tmp_path / f"m.{name}", **changes))


def test_what_only_weights_can_do(files: Any, photographs: Path, tmp_path: Path, toy: Toy) -> None:
    path = files["pixels", "onnx"]
    given = [f"--checkpoint={path}", f"--data={photographs}", f"--out={tmp_path / 'e.json'}"]
    for option, message in (
        ("--resolution=96", r"is for images of 64 px: leave --resolution out"),
        ("--device=cuda", r"which is run on the CPU: leave --device cuda out"),
        ("--precision=bf16", r"is a model file, with types of its own: leave --precision bf16 out"),
        (f"--subnet={toy.result}", r"one network: leave --subnet, --random and --config out"),
        ("--override-preprocessing", r"prepares its images itself: leave --override-preprocessing out"),
        ("--num-classes=7", r"has 4 classes, not 7"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate([*given, option])
    with pytest.raises(InputError, match="prepares its images itself"):
        predict([str(photographs), f"--model={path}", "--override-preprocessing", "--mean=0"])


def test_integers_by_hand() -> None:
    quantised = Quantised(0.5, -10)
    numbers = np.array([0, 0.24, 0.26, -1, 100, -100], np.float32)
    assert quantised.integers(numbers).tolist() == [-10, -10, -9, -12, 127, -128]
    assert quantised.numbers(np.array([-10, 127], np.int8)).tolist() == [0, 68.5]
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    prepared = ((images / np.float32(255) - np.float32(mean)) / np.float32(std)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(Pixels(mean, std).pixels(prepared), images)
