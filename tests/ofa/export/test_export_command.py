"""python -m ofa.export: what it writes, and what it says."""

import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ofa.checkpoints.weights import load_network, save_checkpoint, save_mit_network, save_network
from ofa.errors import Infeasible, InputError
from ofa.export.__main__ import main
from ofa.export.runtimes import runner
from ofa.graph import Graph
from ofa.graph.fake_int8 import observed_ranges
from ofa.graph.int8 import Ranges
from ofa.images.files.folder import ImageFolder
from ofa.images.reading import batches
from ofa.networks import build_supernet, calibrate_bn, extract
from ofa.space import get_space
from ofa.space.mit_format import subnet_to_mit
from tests.helpers.programs import ended
from tests.ofa.export.exported import metadata_of, of

from .conftest import CATEGORIES, PIXELS, Toy


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(f"{category} texture" for category in CATEGORIES) + "\n")
    return path


@pytest.fixture(scope="module")
def validation(photographs: Path) -> tuple[np.ndarray, np.ndarray]:
    """All validation images, and their classes."""
    ((images, classes),) = batches(ImageFolder(photographs), PIXELS, 100)
    return images.numpy(), classes.numpy()


@pytest.fixture(scope="module")
def specialised(toy: Toy, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The calibrated sub-network as a folder."""
    folder = tmp_path_factory.mktemp("specialised") / "network"
    images = batches(ImageFolder(photographs, split="train"), PIXELS, 100)
    save_network(extract(toy.net, toy.subnet, calibrate_bn(toy.net, toy.subnet, images)), folder)
    return folder


# ---- what is written


@pytest.mark.parametrize("format_name", ["onnx", "tflite", "torchscript", "safetensors"])
def test_a_search_result_becomes_a_model(
    toy: Toy, photographs: Path, labels: Path, validation, tmp_path: Path, format_name: str, capsys
) -> None:
    suffix = {"torchscript": "pt"}.get(format_name, format_name)
    out = tmp_path / "new" / f"model.{suffix}"
    more = [f"--calibration={photographs}", f"--labels={labels}", *(["--batch=4"] if suffix != "safetensors" else [])]
    assert main(of(toy, out, *more, format_name=format_name)) == 0
    said = capsys.readouterr()
    assert f"wrote {out}: {format_name}, float32" in said.out
    assert "next: " in said.out
    assert said.err == ""
    assert [file.name for file in out.parent.iterdir()] == [out.name]

    images, classes = validation
    if format_name == "safetensors":
        with torch.no_grad():
            logits = load_network(out)(torch.from_numpy(images)).numpy()
    else:
        assert "same top-1 on 100.00 % of 40 images" in said.out
        logits = runner(format_name, out.read_bytes(), 4)(images)
    assert (logits.argmax(1) == classes).mean() > 0.9

    found = metadata_of(out)
    assert found["labels"].split("\n") == [f"{category} texture" for category in CATEGORIES]
    assert json.loads(found["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(found["std"]) == [0.229, 0.224, 0.225]
    assert found["resolution"] == "64"
    assert found["layout"] == ("NHWC" if format_name == "tflite" else "NCHW")
    assert found["crop_ratio"] == "0.875"
    assert found["batch_norm_calibrated"] == "true"
    assert json.loads(found["subnet"]) == toy.subnet.to_dict()
    assert json.loads(found["search"])["limit_ms"] == 10.0
    assert json.loads(found["calibration"])["images"] == 96


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_int8_agrees_and_says_how_far(
    toy: Toy, photographs: Path, validation, tmp_path: Path, format_name: str, capsys
) -> None:
    paths = {}
    for kind in ("float32", "int8"):
        paths[kind] = tmp_path / f"{kind}.{format_name}"
        more = [f"--calibration={photographs}", *(["--int8"] if kind == "int8" else [])]
        assert main(of(toy, paths[kind], *more, format_name=format_name)) == 0
    assert paths["int8"].stat().st_size < paths["float32"].stat().st_size / 2
    images, classes = validation
    logits = {kind: runner(format_name, path.read_bytes(), 1)(images) for kind, path in paths.items()}
    agreement = 100 * (logits["int8"].argmax(1) == logits["float32"].argmax(1)).mean()
    assert agreement > 80
    stated = json.loads(metadata_of(paths["int8"])["int8"])
    assert stated["top1_agreement_pct"] == pytest.approx(agreement)
    assert stated["model_top1_pct"] == pytest.approx(100 * (logits["int8"].argmax(1) == classes).mean())
    assert stated["network_top1_pct"] == pytest.approx(100 * (logits["float32"].argmax(1) == classes).mean())
    assert f"int8: same top-1 on {agreement:.2f} % of 40 images" in capsys.readouterr().out


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_int8_takes_its_ranges_from_the_images_to_calibrate_whatever_the_batch(
    monkeypatch: pytest.MonkeyPatch, toy: Toy, photographs: Path, tmp_path: Path, format_name: str
) -> None:
    seen: list[torch.Tensor] = []

    def observed(graph: Graph, batches: Sequence[torch.Tensor]) -> Ranges:
        seen.extend(batches)
        return observed_ranges(graph, batches)

    monkeypatch.setattr("ofa.graph.fake_int8.observed_ranges", observed)
    outs = [tmp_path / f"{batch}.{format_name}" for batch in (1, 100)]
    for out, batch in zip(outs, (1, 100), strict=True):
        more = ["--int8", f"--calibration={photographs}", f"--batch={batch}", "--evaluate-images=20"]
        assert main(of(toy, out, *more, format_name=format_name)) == 0
    assert [sum(map(len, part)) for part in (seen[: len(seen) // 2], seen[len(seen) // 2 :])] == [96, 96]
    images = torch.cat(seen).numpy()[:20]
    alone, together = (
        runner(format_name, out.read_bytes(), batch)(images) for out, batch in zip(outs, (1, 100), strict=True)
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_a_specialised_network_needs_no_sub_network(specialised: Path, tmp_path: Path, capsys) -> None:
    mit = tmp_path / "mit"
    save_mit_network(load_network(specialised), mit)
    outs = []
    for i, checkpoint in enumerate([specialised, specialised / "network.safetensors", mit]):
        outs.append(tmp_path / f"{i}.onnx")
        assert main([f"--checkpoint={checkpoint}", "--format=onnx", f"--out={outs[-1]}"]) == 0
    assert capsys.readouterr().err == ""
    x = np.random.default_rng(0).normal(size=(3, 3, PIXELS, PIXELS)).astype(np.float32)
    first, *others = [runner("onnx", out.read_bytes(), 1)(x) for out in outs]
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_batch_and_resolution_as_asked(toy: Toy, tmp_path: Path) -> None:
    import onnx

    out = tmp_path / "m.onnx"
    assert main(of(toy, out, "--batch=3", "--resolution=96")) == 0
    shape = onnx.load(out).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [3, 3, 96, 96]
    found = metadata_of(out)
    assert found["resolution"] == "96"
    assert json.loads(found["subnet"])["resolution"] == 96


def test_the_same_command_writes_the_same_bytes(toy: Toy, photographs: Path, tmp_path: Path) -> None:
    poor = ["--calibration-images=40", "--allow-poor-calibration"]
    for name in ("a", "b"):
        assert main(of(toy, tmp_path / f"{name}.onnx", f"--calibration={photographs}", *poor)) == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_mits_dict_and_mits_checkpoint(toy: Toy, tmp_path: Path) -> None:
    mit = tmp_path / "supernet.pt"
    save_checkpoint(toy.net, mit, "mit")
    config = tmp_path / "subnet.json"
    config.write_text(json.dumps(subnet_to_mit(toy.net.space, toy.subnet)))
    command = [f"--subnet={config}", f"--checkpoint={mit}", "--format=safetensors", f"--out={tmp_path / 'm'}"]
    with pytest.raises(InputError, match="names a space: give --space"):
        main(command)
    assert main([*command, "--space=mbv3-w0.35"]) == 0
    assert main(of(toy, tmp_path / "n", format_name="safetensors")) == 0
    first, second = load_file(tmp_path / "m"), load_file(tmp_path / "n")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_from_a_search_to_a_model(tmp_path: Path, capsys) -> None:
    from ofa.search.__main__ import main as search

    # by the shipped predictor of width 1.0, whose search is exact and so the shortest
    assert search(["--table=note8", "--latency=50", f"--out={tmp_path}"]) == 0
    result = tmp_path / "result.json"
    content = json.loads(result.read_text())
    space = get_space(content["space"])
    torch.manual_seed(0)
    net = build_supernet(space).eval()
    save_checkpoint(net, tmp_path / "w", "mit")
    out = tmp_path / "m.tflite"
    assert main([f"--subnet={result}", f"--checkpoint={tmp_path / 'w'}", "--format=tflite", f"--out={out}"]) == 0
    assert "100.00 % of 8 images" in capsys.readouterr().out
    subnet = space.subnet_from_dict(content["results"][0]["subnet"])
    x = torch.randn(1, 3, subnet.resolution, subnet.resolution)
    with torch.no_grad():
        expected = net(x, subnet).numpy()
    y = runner("tflite", out.read_bytes(), 1)(x.numpy())
    assert np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()
    assert json.loads(metadata_of(out)["search"])["limit_ms"] == 50


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_published_weights_on_real_photographs(reference: Path, tmp_path: Path, format_name: str, capsys) -> None:
    published = reference / "weights" / "proxyless-w0.3-r176_imagenet"
    network = tmp_path / "network"
    network.mkdir()
    (network / "net.config").write_bytes(published.with_name(f"{published.name}.json").read_bytes())
    (network / "init").write_bytes(published.with_name(f"{published.name}.pth").read_bytes())
    (network / "run.config").write_text('{"image_size": 176}')
    photographs = reference / "images" / "imagenette2-224.zip"
    out = tmp_path / f"m.{format_name}"
    more = [f"--evaluate={photographs}", "--evaluate-images=60", "--mean=0.5", "--std=0.5", f"--out={out}"]
    assert main([f"--checkpoint={network}", f"--format={format_name}", *more]) == 0
    assert "same top-1 on 100.00 % of 60 images" in capsys.readouterr().out
    stated = json.loads(metadata_of(out)["float32"])
    assert stated["max_relative_error"] < 1e-5
    assert stated["model_top1_pct"] == stated["network_top1_pct"] > 40  # 55.7 % on all 3,925


# ---- which result


@pytest.mark.parametrize(
    ("which", "expected"), [([], 0), (["--index=1"], 1), (["--limit=5"], 1), (["--limit=10"], 0), (["--limit=7"], 1)]
)
def test_the_result_that_was_asked_for(toy: Toy, tmp_path: Path, which: list[str], expected: int) -> None:
    out = tmp_path / "m"
    assert main(of(toy, out, *which, format_name="safetensors")) == 0
    results = json.loads(toy.result.read_text())["results"]
    assert json.loads(metadata_of(out)["subnet"]) == results[expected]["subnet"]


def test_no_result_meets_the_limit(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(Infeasible, match=r"takes at most 3 ms: the fastest takes 4\.5 ms"):
        main(of(toy, tmp_path / "m", "--limit=3"))


# ---- warnings


def test_an_uncalibrated_export_says_what_to_do(toy: Toy, tmp_path: Path, capsys) -> None:
    out = tmp_path / "m.onnx"
    assert main(of(toy, out)) == 0
    assert "warning: batch normalisation is not calibrated" in (error := capsys.readouterr().err)
    assert "--calibration DIR" in error
    assert metadata_of(out)["batch_norm_calibrated"] == "false"


def test_broken_images_are_named_skipped_and_counted(toy: Toy, photographs: Path, tmp_path: Path, capsys) -> None:
    images = tmp_path / "images"
    shutil.copytree(photographs / "train", images / "train")
    (images / "train" / "brick" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    whole = (images / "train" / "cloud" / "0.jpg").read_bytes()
    (images / "train" / "cloud" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    command = of(toy, tmp_path / "m.safetensors", f"--calibration={images}", format_name="safetensors")
    assert main(command) == 0
    error = capsys.readouterr().err
    assert "2 broken images are skipped: train/" in error
    assert "train/brick/broken.jpg" in error
    assert "train/cloud/cut.jpg" in error
    with pytest.raises(InputError, match=r"train/\w+/\w+\.jpg cannot be read as an image"):
        main([*command, "--strict"])
    assert main([*of(toy, tmp_path / "m.onnx", f"--calibration={images}"), "--int8"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"calibrated on (\d+) images", said) == re.findall(r"quantising with (\d+) images", said)


def test_a_zip_of_images_is_read_like_a_folder(toy: Toy, photographs: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photographs.rglob("*.jpg")):
            archive.write(file, f"photographs/{file.relative_to(photographs)}")
    for name, given in (("folder", photographs), ("zip", path)):
        assert main(of(toy, tmp_path / name, f"--calibration={given}", format_name="safetensors")) == 0
    first, second = load_file(tmp_path / "folder"), load_file(tmp_path / "zip")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_specialised_network_and_a_sub_network_that_is_not_it(toy: Toy, specialised: Path, tmp_path: Path) -> None:
    command = [f"--checkpoint={specialised}", f"--subnet={toy.result}", "--format=onnx", f"--out={tmp_path / 'm'}"]
    assert main(command) == 0
    with pytest.raises(InputError, match="holds another sub-network than"):
        main([*command, "--index=1"])


def test_exit_codes_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    helped = ended(main, capsys, "--help")
    assert helped.returncode == 0
    assert "example, from a search to a phone:" in helped.stdout
    assert ended(main, capsys, "--checkpoint=W").returncode == 2
    nothing = ended(main, capsys, "--format=onnx")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "give --checkpoint" in nothing.stderr
    refused = ended(main, capsys, "--format=onnx", "--checkpoint=nowhere")
    assert (refused.returncode, refused.stderr) == (2, "error: nowhere: no such file or folder\n")
