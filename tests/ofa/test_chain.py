"""From class folders to a model file and back: what a network knows of its images is the same at every end.

One chain, at toy size, by the commands themselves: train, publish, collect, fit, search, fine-tune, export to every
format, export again.
"""

import csv
import io
import json
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.checkpoints.weights import read_image_facts
from ofa.errors import InputError
from ofa.evaluate import __main__ as evaluate
from ofa.export.__main__ import main as export
from ofa.finetune import __main__ as finetune
from ofa.images.facts import ImageFacts, facts_of_metadata
from ofa.images.files.folder import ImageFolder
from ofa.images.held_out import open_photos
from ofa.predictors.collect import __main__ as collect
from ofa.predictors.fit import __main__ as fit
from ofa.predictors.subnet_accuracies import read_image_facts as read_csv_facts
from ofa.publish import __main__ as publish
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.train import __main__ as train
from tests.helpers.short import one_split, short_searches
from tests.ofa.export.exported import metadata_of

CLASSES = ("Zebra [red]", "cat", "Äpfel und Birnen")  # sorted
SPACE = get_space("mbv3-w0.1", 3)
HALF = [0.5, 0.5, 0.5]
FORMATS = {"onnx": "onnx", "tflite": "tflite", "torchscript": "pt", "safetensors": "safetensors"}


def run(main, *arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images, of three unequal classes that are colours."""
    root = tmp_path_factory.mktemp("data") / "meine Bilder"
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate(zip(CLASSES, (110, 80, 50), strict=True)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 100, (9, 10, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).resize((40, 36)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """One thread: several wait for each other on a busy machine, layers are tiny here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        for shorten in (short_searches, one_split):
            shorten(patched)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def chain(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that the commands made."""
    root = tmp_path_factory.mktemp("chain") / "a b"
    recipe = ["--method", "uniform", "--epochs", 2, "--subnets-per-step", 1, "--batch-size", 54, "--cache", "memory"]
    said = io.StringIO()
    with redirect_stdout(said):
        run(train.main, "--data", pictures, "--space", "mbv3-w0.1", "--resolutions", "32", *recipe, "--mean", "half",
            "--smallest-crop", 0.5, "--check-images", 8, "--check-every", 9, "--calibration-images", 64,
            "--out", root / "supernet")  # fmt: skip
    (root / "train.txt").write_text(said.getvalue(), encoding="utf-8")
    supernet, weights = root / "supernet" / "supernet.safetensors", root / "published.safetensors"
    run(publish.main, "--checkpoint", supernet, "--data", pictures, "--images", 64, "--steps", 2, "--subnets", 2,
        "--check-subnets", 1, "--calibration-images", 64, "--out", weights)  # fmt: skip
    run(collect.main, "--checkpoint", weights, "--data", pictures, "--subnets", 2, "--calibration-images", 64,
        "--out", root / "acc.csv")  # fmt: skip
    more_rows(root / "acc.csv")
    run(fit.main, "--data", root / "acc.csv", "--space", "mbv3-w0.1", "--members", 2, "--epochs", 3, "--hidden", 8,
        "--out", root / "p.safetensors")  # fmt: skip
    header = {"device": "Toy", "runtime": "none", "provenance": "measured", "space": "mbv3-w0.1", "source": "a test"}
    blocks = all_blocks(SPACE, [32])
    LatencyTable(header, [TableRow(b, 0.01 + block_macs(b) / 1e6) for b in blocks]).save(root / "t.csv")
    run(search, "--table", root / "t.csv", "--predictor", root / "p.safetensors", "--latency", 1.5,
        "--num-classes", 3, "--out", root / "found")  # fmt: skip
    run(finetune.main, "--checkpoint", weights, "--subnet", root / "found" / "result.json", "--data", pictures,
        "--epochs", 12, "--batch-size", 54, "--learning-rate", 0.05, "--out", root / "tuned")  # fmt: skip
    for name, suffix in FORMATS.items():
        run(export, "--checkpoint", root / "tuned" / "network", "--format", name, "--evaluate", pictures,
            "--out", root / f"model.{suffix}")  # fmt: skip
    run(export, "--checkpoint", root / "model.safetensors", "--format", "onnx", "--evaluate", pictures,
        "--out", root / "again.onnx")  # fmt: skip
    return root


def more_rows(path: Path) -> None:
    """Adds made-up accuracies: measuring a hundred sub-networks takes too long for a test."""
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 110, resolutions=[32]))
    fields = ("depths", "kernel_sizes", "expand_ratios", "width_mults")
    lists = [[" ".join(map(str, getattr(subnet, field))) for field in fields] for subnet in subnets]
    rows = [[900 + i, 32, *lists[i], 50 + i / 10, 100, 1.0, 24] for i in range(len(subnets))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    told = path.read_text(encoding="utf-8").replace("# rows: 2\n", "# rows: 112\n")
    path.write_text(told + text.getvalue(), encoding="utf-8")


def test_every_file_knows_what_the_training_knew(chain: Path) -> None:
    trained = read_image_facts(chain / "supernet" / "supernet.safetensors")
    assert trained is not None
    assert trained.classes == CLASSES
    assert [*trained.mean, *trained.std] == [*HALF, *HALF]
    assert trained.smallest_crop == 0.5
    assert trained.held_out is not None
    assert trained.held_out.count == 24
    assert read_image_facts(chain / "published.safetensors") == trained
    assert len(trained.contents[0].hashes) == 216
    without_contents = replace(trained, contents=())  # hashes of images are for files that hold weights
    assert read_csv_facts(chain / "acc.csv") == without_contents
    predictor = json.loads((chain / "p.json").read_text())
    result = json.loads((chain / "found" / "result.json").read_text())
    for content in (predictor, result):
        assert ImageFacts.from_dict(content["images"], "x") == without_contents
    tuned = replace(trained, resolution=32)  # the same images, and the same held out
    assert read_image_facts(chain / "tuned" / "network") == tuned
    for suffix in (*FORMATS.values(), "onnx"):
        for path in sorted(chain.glob(f"*.{suffix}")):
            if path.stem in ("model", "again"):
                said = metadata_of(path)
                assert facts_of_metadata(said, path) == tuned, path
                assert said["labels"].split("\n") == list(CLASSES)
                assert [json.loads(said[key]) for key in ("mean", "std")] == [HALF, HALF]
                assert "marks" not in said


@pytest.mark.parametrize("name", ["model.onnx", "again.onnx"])
def test_plain_onnxruntime_by_the_metadata_alone_gives_what_export_printed(
    chain: Path, pictures: Path, name: str
) -> None:
    """Nothing of ours prepares the images here."""
    session = onnxruntime.InferenceSession(str(chain / name), providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    size, ratio, labels = int(said["resolution"]), float(said["crop_ratio"]), said["labels"].split("\n")
    mean, std = (np.array(json.loads(said[key]), np.float32) for key in ("mean", "std"))
    folder = ImageFolder(pictures)
    right = []
    for i in open_photos(pictures).held_out:
        image = Image.open(io.BytesIO(folder.read(i))).convert("RGB")
        scale = round(size / ratio) / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
        left, top = (round((side - size) / 2) for side in image.size)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
        (logits,) = session.run(None, {"input": ((pixels - mean) / std).transpose(2, 0, 1)[None]})
        right.append(labels[int(logits.argmax())] == folder.names[i].split("/")[0])
    stated = json.loads(said["float32"])
    assert stated["images"] == len(right) == 24
    assert stated["model_top1_pct"] == pytest.approx(100 * np.mean(right))
    # colours are learnt at once: labels and preprocessing are right, all the way; labels moved by one place would give
    # 22 of 24. Twelve epochs, since six leave an AVX2 processor at 22
    assert sum(right) >= 23


def evaluated(out: Path, *arguments: object) -> dict:
    run(evaluate.main, *arguments, "--out", out)
    return json.loads(out.read_text())


def test_evaluate_takes_what_was_held_out_and_says_which_classes(chain: Path, pictures: Path, tmp_path: Path) -> None:
    network = chain / "tuned" / "network"
    found = evaluated(tmp_path / "r.json", "--checkpoint", network, "--data", pictures)
    assert (found["split"], found["images"], found["marks"]) == ("held-out", 24, [])
    assert found["mean"] == HALF
    (row,) = found["results"]
    assert row["top1"] == pytest.approx(json.loads((chain / "tuned" / "result.json").read_text())["val_top1"])
    assert sum(figures["images"] for figures in row["per_class"].values()) == 24
    assert set(row["per_class"]) <= set(CLASSES)
    with pytest.raises(
        InputError, match=r"mean 0\.5,0\.5,0\.5, std 0\.5,0\.5,0\.5, but --mean and --std are mean 0\.485"
    ):
        evaluate.main(["--checkpoint", str(network), "--data", str(pictures), "--mean", "imagenet"])
    odd = evaluated(
        tmp_path / "o.json", "--checkpoint", network, "--data", pictures, "--mean", "imagenet",
        "--override-preprocessing", "--split", "all", "--allow-training-images",
    )  # fmt: skip
    assert len(odd["marks"]) == 2
    assert odd["images"] == 240


@pytest.mark.drawn
def test_the_command_that_train_prints_works_as_printed(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (chain / "train.txt").read_text(encoding="utf-8").splitlines()
    words = shlex.split(next(line for line in lines if line.startswith("next: ")).removeprefix("next: "))
    assert words[:3] == ["python", "-m", "ofa.evaluate"]
    words[words.index("--random") + 1] = "1"  # sooner
    run(evaluate.main, *words[3:], "--calibration-images", 64)
    assert "Zebra [red]" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "evaluate" / "result.json").read_text())["split"] == "held-out"
    assert (tmp_path / "out" / "evaluate" / "result.confusion.png").stat().st_size > 1000


def test_a_class_folder_that_is_renamed_is_refused_and_one_that_lacks_is_not(
    chain: Path, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that sorts last moved every label before: 81 % became 12 % without a word."""
    others = tmp_path / "others"
    photos = open_photos(pictures)
    for i in photos.held_out:
        name = photos.folder.names[i]
        (others / name).parent.mkdir(parents=True, exist_ok=True)
        (others / name).write_bytes(photos.folder.read(i))
    network = chain / "tuned" / "network"
    whole = evaluated(tmp_path / "a.json", "--checkpoint", network, "--data", others)["results"][0]
    (others / "Zebra [red]").rename(others / "zzz")
    given = ["--checkpoint", str(network), "--data", str(others)]
    with pytest.raises(
        InputError, match=r"class folder zzz is none of the 3 classes of .*network \(Zebra \[red\], cat"
    ):
        evaluate.main(given)
    mapping = tmp_path / "classes.json"
    mapping.write_text(json.dumps({"zzz": 0, "cat": 1, "Äpfel und Birnen": 2}))
    mapped = evaluated(tmp_path / "b.json", *given, "--classes", mapping)["results"][0]
    assert mapped["top1"] == whole["top1"]
    (others / "zzz").rename(tmp_path / "away")
    capsys.readouterr()
    fewer = evaluated(tmp_path / "c.json", *given)["results"][0]
    assert "lacks 1 of 3 classes: Zebra [red]" in capsys.readouterr().out
    expected = {name: figures for name, figures in whole["per_class"].items() if name != "Zebra [red]"}
    assert fewer["per_class"] == expected


def test_the_batch_that_images_are_read_in_does_not_change_a_sub_networks_figures(
    chain: Path, pictures: Path, tmp_path: Path
) -> None:
    """Batches of 1 and 2 gave 14 and 47 % where 81 was right: they were what it was calibrated by."""
    given = ["--checkpoint", chain / "published.safetensors", "--subnet", chain / "found" / "result.json"]
    given += ["--data", pictures, "--calibration-images", 70, "--limit", 9]
    one, many = (evaluated(tmp_path / f"{size}.json", *given, "--batch-size", size)["results"][0] for size in (1, 24))
    assert one["confusion"] == many["confusion"]
    assert one["loss"] == pytest.approx(many["loss"], rel=1e-4)


def test_calibrating_with_a_few_images_is_refused_or_marked(
    chain: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibrating with 1 and 8 images gave 6 and 46 % where 81 was right, and the file called it calibrated."""
    out = tmp_path / "m.safetensors"
    given = ["--checkpoint", chain / "supernet" / "supernet.safetensors", "--subnet", chain / "found" / "result.json"]
    given += ["--calibration", pictures, "--format", "safetensors", "--out", out]
    for count in (1, 8, 63):
        match = f"calibrated with {count} images? in batches of {count},.*--allow-poor-calibration"
        with pytest.raises(InputError, match=match):
            export([*map(str, given), "--calibration-images", str(count)])
    with pytest.raises(InputError, match=r"calibrated with 216 images in batches of 2,.*--allow-poor-calibration"):
        export([*map(str, given), "--calibration-batch", "2"])
    assert not out.exists()
    run(export, *given, "--allow-poor-calibration", "--calibration-images", 8)
    facts = read_image_facts(out)
    assert facts is not None
    assert facts.marks[0].startswith("calibrated with 8 images")
    assert "warning: calibrated with" in capsys.readouterr().err
