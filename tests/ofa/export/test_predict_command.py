"""python -m ofa.predict: the probabilities are the network's, whatever the file's format and the photographs' kind."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from ofa.checkpoints.weights import load_network
from ofa.evaluate.__main__ import main as evaluate
from ofa.export.runtimes import runner
from ofa.images.files.folder import ImageFolder
from ofa.images.preprocessing import load_image
from ofa.images.reading import batches
from ofa.predict.__main__ import main
from tests.helpers.programs import ended
from tests.ofa.export.predicted import BATCHES, predicted, softmax

from .conftest import CATEGORIES, PIXELS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", BATCHES)
def test_probabilities_are_those_of_the_network(models: Path, photographs: Path, tmp_path: Path, name: str) -> None:
    found = predicted(tmp_path / "p.json", photographs / "val", "--model", models / name)
    folder = ImageFolder(photographs)
    assert list(found) == [f"{photographs}/{name}" for name in folder.names]
    ((images, truth),) = batches(folder, PIXELS, 100)
    ours = np.stack([*found.values()])
    if name.startswith("float"):
        with torch.no_grad():
            expected = softmax(load_network(models / "net.safetensors")(images).numpy())
        np.testing.assert_allclose(ours, expected, atol=2e-5)
    else:
        model = runner(name.partition(".")[2], (models / name).read_bytes(), BATCHES[name])
        np.testing.assert_allclose(ours, softmax(model(images.numpy())), atol=2e-6)
    assert (ours.argmax(1) == truth.numpy()).mean() > 0.8


def test_as_many_are_right_as_evaluation_counts(models: Path, photographs: Path, tmp_path: Path) -> None:
    given = [f"--checkpoint={models / 'net.safetensors'}", f"--data={photographs}", "--split=val"]
    numbers = tmp_path / "classes.txt"  # the folders' names are not the labels
    numbers.write_text("\n".join(f"{category} {i}" for i, category in enumerate(CATEGORIES)))
    assert evaluate([*given, f"--classes={numbers}", f"--out={tmp_path / 'e.json'}"]) == 0
    (result,) = json.loads((tmp_path / "e.json").read_text())["results"]
    found = predicted(tmp_path / "p.json", photographs / "val", "--model", models / "float.onnx")
    right = [CATEGORIES[shares.argmax()] == Path(file).parent.name for file, shares in found.items()]
    assert 100 * np.mean(right) == pytest.approx(result["top1"])


# ---- photographs as people have them


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


@pytest.fixture
def messy(photographs: Path, tmp_path: Path) -> Path:
    """A folder of odd photographs, and of files that are none."""
    image = Image.open(photographs / "val" / "brick" / "0.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = (np.asarray(image.convert("L")).astype(np.uint16) << 8) + 77
    folder = tmp_path / "Fotos von  Zoë"
    for name, content in {
        "Ünï/cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "Ünï/16 bits.png": encoded(Image.fromarray(deep), "PNG"),
        "turned.jpg": encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=turned, quality=95),
        "clear.png": encoded(image.convert("RGBA"), "PNG"),
        "a\nb.gif": encoded(image, "GIF"),
        "truncated.jpg": encoded(image, "JPEG")[:900],
        "empty.jpg": b"",
        "notes.txt": b"no photograph",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("form", ["folder", "zip", "files"])
@pytest.mark.parametrize("name", ["float.onnx", "int8.tflite"])
def test_messy_photographs_are_read_as_everywhere(
    models: Path, messy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    files = sorted(path for path in messy.rglob("*.*") if form == "files" or path.suffix != ".txt")
    given = files if form == "files" else [zipped(messy) if form == "zip" else messy]
    done = ended(main, capsys, *given, "--model", models / name, "--json", tmp_path / "p.json", "--top", 4)
    assert done.returncode == 0
    inside = [str(path if form == "files" else given[0] / path.relative_to(messy)) for path in files]
    shown = dict(zip((name.replace("\n", "\\n") for name in inside), files, strict=True))
    bad = [name for name in shown if Path(name).stem in ("truncated", "empty", "notes")]
    assert [line.partition(" is skipped: ")[0] for line in done.stderr.splitlines()] == [f"warning: {n}" for n in bad]
    said = done.stdout.splitlines()
    assert ("1 file is left out: 1 .txt" in said[0]) == (form != "files")
    content = json.loads((tmp_path / "p.json").read_text())
    assert list(content["broken"]) == bad
    model = runner(name.partition(".")[2], (models / name).read_bytes(), BATCHES[name])
    good = [name for name in shown if name not in bad]
    assert [image["file"] for image in content["images"]] == good
    assert [line.partition(": ")[0] for line in said if " %" in line] == good
    for image in content["images"]:
        pixels = load_image(shown[image["file"]], PIXELS, content["mean"], content["std"]).numpy()
        (expected,) = softmax(model(pixels[None]))
        assert {g["index"]: g["probability"] for g in image["top"]} == pytest.approx(
            dict(enumerate(expected)), abs=2e-6
        )
    text = f"{content['images'][0]['top'][0]['class']} {100 * content['images'][0]['top'][0]['probability']:.1f} %"
    assert text in done.stdout


def test_what_is_no_image_ends_it_where_there_is_nothing_else_or_it_is_strict(
    models: Path, messy: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = ["--model", models / "float.onnx"], tmp_path / "p.json"
    done = ended(main, capsys, messy / "notes.txt", *model, "--json", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"warning: {messy / 'notes.txt'} is skipped: UnidentifiedImageError: no image of a known kind",
        f"error: no image could be read: 1 of 1 are broken, the first is {messy / 'notes.txt'}",
    ]
    good = photographs / "val" / "brick" / "0.jpg"
    done = ended(main, capsys, good, messy / "notes.txt", *model, "--strict", "--json", out)
    assert done.returncode == 2
    assert "notes.txt cannot be read as an image: UnidentifiedImageError" in done.stderr
    done = ended(main, capsys, good, tmp_path / "none.jpg", *model, "--json", out)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'none.jpg'}: no such file, folder or zip\n"
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    done = ended(main, capsys, tmp_path / "texts", *model)
    assert done.returncode == 2
    assert "holds no images" in done.stderr
    assert not out.exists()


def test_a_photograph_is_never_taken_for_the_file_to_write(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # as a shell spells out `--json *.jpg`
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes((photographs / "val" / "brick" / "0.jpg").read_bytes())
    done = ended(main, capsys, "--model", tmp_path / "net.onnx", "--json", *files)
    assert done.returncode == 2
    assert done.stderr == f"error: --json is {files[0]}, expected a file that ends in .json\n"
    assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_beside_a_model_are_its_own_wherever_one_stands(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = onnx.numpy_helper.from_array(np.array([[9, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32), "w")
    nodes = [("GlobalAveragePool", "x", "p"), ("Flatten", "p", "f")]
    graph = helper.make_graph(
        [*(helper.make_node(kind, [a], [b]) for kind, a, b in nodes), helper.make_node("MatMul", ["f", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "models").mkdir()
    onnx.save(model, tmp_path / "models" / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(36))  # another model's, in the working directory
    monkeypatch.chdir(tmp_path)
    found = predicted(
        tmp_path / "p.json",
        photographs / "val" / "brick" / "0.jpg",
        "--model=models/m.onnx",
        "--mean=0,0,0",
        "--std=1,1,1",
    )
    ((_, shares),) = found.items()
    assert shares[0] > shares[1] + 0.1


def test_a_reader_that_went_away_does_not_keep_the_file_from_being_written(
    models: Path, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    words = [photographs, photographs / "val", "--model", models / "int8.onnx", "--json", out]
    line = f"{shlex.join([sys.executable, '-m', 'ofa.predict', *map(str, words)])} 2>&1 | true"
    subprocess.run(["sh", "-c", line], cwd=ROOT, check=True, capture_output=True)
    assert len(json.loads(out.read_text())["images"]) > 40


def test_it_runs_without_torch(models: Path, photographs: Path) -> None:
    """Where a model is deployed there is none."""
    code = "import sys; sys.modules['torch'] = None; from ofa.predict.__main__ import main\n"
    code += "for model in sys.argv[2:]: main([sys.argv[1], '--model', model, '--top', '1'])"
    photo, names = photographs / "val" / "cloud" / "3.jpg", ("float.onnx", "float.tflite")
    words = [sys.executable, "-c", code, str(photo), *(str(models / name) for name in names)]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False)
    assert [line.partition(" texture ")[0] for line in done.stdout.splitlines()] == [f"{photo}: cloud"] * 2, done.stderr
