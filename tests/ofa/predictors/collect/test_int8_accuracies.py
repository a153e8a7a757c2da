"""Accuracies of int8 networks: collected as exported files have them, and told apart from float32 ones by all who read.

The networks are untrained: how they rank means nothing, but a rounding elsewhere would change every figure.
"""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.checkpoints.subnet_file import read_subnet
from ofa.checkpoints.weights import save_checkpoint
from ofa.errors import InputError
from ofa.export.config import ExportConfig
from ofa.export.first import unlike_searched
from ofa.export.folding import trained_graph
from ofa.export.runtimes import runner
from ofa.graph.fake_int8 import fake_int8, observed_ranges
from ofa.graph.onnx_int8 import write_onnx_int8
from ofa.graph.tflite_int8 import write_tflite_int8
from ofa.images.pixels.store import PixelBatch
from ofa.networks import build_supernet, calibrate_bn, extract
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.collect import __main__ as collect
from ofa.predictors.collect.int8 import RANGE_IMAGES, measure_int8
from ofa.predictors.collect.measuring import PreparedImages, draw, measure
from ofa.predictors.fit import __main__ as fit
from ofa.predictors.prediction import Scale, stated_dtype
from ofa.predictors.subnet_accuracies import read_accuracies_csv, read_dtype
from ofa.search.__main__ import main as search_main
from ofa.search.config import SearchConfig
from ofa.search.report import types_in_words
from ofa.search.run import open_searches, search_subnets
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from tests.helpers.photographs import write_classes
from tests.helpers.short import one_split, short_searches

SPACE, SIZE = get_space("mbv3-w0.1", 6), 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixel_batches(count: int, seed: int) -> list[PixelBatch]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    labels = torch.from_numpy(rng.integers(0, 6, count))
    return [PixelBatch(torch.from_numpy(pixels[i : i + 60]), labels[i : i + 60]) for i in range(0, count, 60)]


@pytest.fixture(scope="module")
def images() -> PreparedImages:
    return PreparedImages(pixel_batches(RANGE_IMAGES + 60, 0), pixel_batches(130, 1), MEAN, STD)


def test_the_scores_are_those_of_exported_files(images: PreparedImages) -> None:
    torch.manual_seed(0)
    net = build_supernet(SPACE, dropout=0.0, resolutions=[SIZE]).eval()
    subnets = draw(SPACE, [SIZE], 0, range(2))
    found, in_float = measure_int8(net, subnets, images), measure(net, subnets, images)

    def floats(batches: list[PixelBatch]) -> list[torch.Tensor]:
        return [batch.images(torch.device("cpu"), MEAN, STD) for batch in batches]

    given, shown = floats(list(images.calibration)), floats(list(images.evaluation))
    for subnet, scores, before in zip(subnets, found, in_float, strict=True):
        graph = trained_graph(extract(net, subnet, calibrate_bn(net, subnet, images.cut.batches(given))), batch=50)
        ranges = observed_ranges(graph, [torch.cat(given)[:RANGE_IMAGES]])
        labels = torch.cat([batch.labels for batch in images.evaluation])
        with torch.no_grad():
            logits = torch.cat([fake_int8(graph, ranges)(batch) for batch in shown])
            rounded = torch.nn.functional.cross_entropy(logits, labels).item()
        # a value on another side of a step is 2e-4; labels one further, or a range of one image more, over 1e-3
        assert scores.to_dict()["loss"] == pytest.approx(rounded, rel=5e-4)
        for name, model in (("onnx", write_onnx_int8(graph, ranges)), ("tflite", write_tflite_int8(graph, ranges))):
            logits = torch.from_numpy(runner(name, model, 50)(torch.cat(shown).numpy()))
            loss = torch.nn.functional.cross_entropy(logits, labels).item()
            assert scores.to_dict()["loss"] == pytest.approx(loss, rel=0.01)
        assert scores.to_dict()["loss"] != pytest.approx(before.to_dict()["loss"], rel=1e-6)
        assert scores.to_dict()["images"] == 130


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet, and accuracies of its sub-networks in int8 and in float32."""
    root = tmp_path_factory.mktemp("int8")
    write_classes(root / "imgs", {"train": 2, "val": 3}, classes=6)
    torch.manual_seed(0)
    save_checkpoint(build_supernet(SPACE, dropout=0.0, resolutions=(SIZE,)), root / "supernet.safetensors")
    for dtype, count in (("int8", 6), ("fp32", 3)):
        words = ["--checkpoint", root / "supernet.safetensors", "--data", root / "imgs", "--subnets", count,
                 "--calibration-batch", 12, "--allow-poor-calibration", "--dtype", dtype,
                 "--out", root / f"{dtype}.csv"]  # fmt: skip
        assert collect.main([*map(str, words)]) == 0
    return root


def test_a_file_says_its_type_and_is_not_gone_on_with_in_another(files: Path) -> None:
    assert [read_dtype([files / f"{dtype}.csv"]) for dtype in ("int8", "fp32")] == ["int8", "float32"]
    words = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--subnets", 6, "--resume",
             "--calibration-batch", 12, "--allow-poor-calibration", "--out", files / "int8.csv"]  # fmt: skip
    with pytest.raises(InputError, match='with dtype = "int8", but this one has "float32"'):
        collect.main([*map(str, words)])


def test_files_of_two_types_make_no_predictor(files: Path) -> None:
    with pytest.raises(InputError, match=r"fp32.csv is of float32 networks, .*int8.csv of int8: a predictor is of one"):
        read_accuracies_csv([files / "int8.csv", files / "fp32.csv"], SPACE.name, least=1)
    damaged = files / "damaged.csv"
    damaged.write_text((files / "int8.csv").read_text().replace('# dtype: "int8"', "# dtype: 8"))
    with pytest.raises(InputError, match=r"damaged.csv: its dtype is 8, expected one of float32, int8"):
        read_accuracies_csv(damaged, SPACE.name, least=1)
    with pytest.raises(InputError, match=r"damaged.csv: its dtype is 8"):
        read_dtype([damaged])


def test_the_type_goes_from_accuracies_to_search_to_export(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_split(monkeypatch)
    short_searches(monkeypatch)
    monkeypatch.setattr("ofa.predictors.subnet_accuracies.MIN_ROWS", 10)
    path = tmp_path / "p.safetensors"
    rows = [TableRow(b, 0.01 + block_macs(b) / 1e6) for b in all_blocks(SPACE, [SIZE])]
    header = {"device": "T", "runtime": "r", "provenance": "measured", "space": SPACE.name, "source": "a test"}
    for dtype in ("int8", "float32", "w8a8"):
        LatencyTable({**header, "dtype": dtype}, rows).save(tmp_path / f"{dtype}.csv")
    for name, stated in (("int8.csv", "int8"), ("fp32.csv", "float32")):
        accuracies = _many(files / name, tmp_path)
        words = ["--data", accuracies, "--space", SPACE.name, "--members", 1, "--epochs", 1, "--hidden", 4]
        words += ["--out", path]
        assert fit.main([*map(str, words)]) == 0
        assert AccuracyPredictor.load(path, SPACE).dtype == stated
        capsys.readouterr()
        for dtype in ("int8", "float32", "w8a8"):
            words = ["--table", tmp_path / f"{dtype}.csv", "--predictor", path, "--num-classes", 6, "--latency", 3,
                     "--out", tmp_path / dtype]  # fmt: skip
            assert search_main([*map(str, words)]) == 0
            said = " ".join(capsys.readouterr().out.split())
            assert ("what int8 costs of accuracy is NOT counted" in said) == (stated == "float32" and dtype == "int8")
            assert ("accuracies are of int8 networks, latencies are not" in said) == (
                (stated, dtype) == ("int8", "float32")
            )
            assert ("networks is 'w8a8', which is none of int8, float32, fp32" in said) == (dtype == "w8a8")
    searched = read_subnet(tmp_path / "int8" / "result.json").facts
    assert (searched["dtype"], searched["table"]) == ("int8", "int8")


def test_a_search_by_an_int8_table_takes_off_what_int8_costs_the_shipped_supernet(tmp_path: Path) -> None:
    space = get_space("mbv3-w0.35", num_classes=10)
    rows = [TableRow(b, 0.01 + block_macs(b) / 1e8) for b in all_blocks(space, [72])]
    header = {"device": "T", "runtime": "r", "provenance": "measured", "space": space.name, "source": "a test"}
    found = {}
    for dtype in ("int8", "float32"):
        LatencyTable({**header, "dtype": dtype}, rows).save(tmp_path / f"{dtype}.csv")
        result = search_subnets(
            SearchConfig(table=(str(tmp_path / f"{dtype}.csv"),), latency=(0.3,), resolutions=(72,))
        )
        assert result.predictor.dtype == dtype
        assert types_in_words(LatencyTable.load(tmp_path / f"{dtype}.csv"), result.predictor) is None
        (found[dtype],) = next(iter(result.found.values()))
    assert found["int8"].subnet == found["float32"].subnet, "all networks lose as much, as far as is known"
    assert found["int8"].predicted_top1 - found["float32"].predicted_top1 == pytest.approx(-0.23)
    wider = found["int8"].predicted_top1_std ** 2 - found["float32"].predicted_top1_std ** 2
    assert wider == pytest.approx(0.34**2)
    both = SearchConfig(table=(str(tmp_path / "int8.csv"), str(tmp_path / "float32.csv")), latency=(0.3,))
    predictor, _ = open_searches(both)
    assert predictor.dtype == "float32", (
        "one predictor serves tables of both types: the search says what is not counted"
    )
    assert predictor.in_int8().in_int8() is None
    scaled = copy.copy(predictor)
    scaled.scale = Scale(1.0, 0.0, "all images")
    assert scaled.in_int8().scale == Scale(0.77, 0.34, f"all images; {predictor.in_int8().scale.checked}")


@pytest.mark.parametrize("stated", [3, {"offset": -0.4}, {"offset": 1e9, "sd": 0, "checked": "x"}, None])
def test_a_scale_of_int8_that_is_none_is_refused(stated: object, tmp_path: Path) -> None:
    AccuracyPredictor.default(get_space("mbv3-w0.35")).save(tmp_path / "p.safetensors")
    header = json.loads((tmp_path / "p.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps({**header, "int8_scale": stated}))
    with pytest.raises(InputError, match=r"p\.json: damaged"):
        AccuracyPredictor.load(tmp_path / "p.safetensors", get_space("mbv3-w0.35"))


def _many(path: Path, folder: Path) -> Path:
    """As many rows as a fit wants, of the file's facts, with other networks and figures."""
    facts = [line for line in path.read_text().splitlines() if line.startswith("#") and "rows" not in line]
    rng = np.random.default_rng(0)
    rows = ["resolution,depths,kernel_sizes,expand_ratios,top1"]
    for subnet in SPACE.decode(SPACE.sample(rng, 120, resolutions=[SIZE])):
        lists = (" ".join(map(str, values)) for values in (subnet.depths, subnet.kernel_sizes, subnet.expand_ratios))
        rows.append(f"{SIZE},{','.join(lists)},{rng.uniform(40, 60):.2f}")
    made = folder / f"accuracies-{path.name}"
    made.write_text("\n".join([*facts, *rows]) + "\n")
    return made


@pytest.mark.parametrize(
    ("dtype", "int8", "format_name", "words"),
    [
        ("int8", False, "onnx", "searched for int8 .*exported in float32.*: add --int8 and --calibration DIR"),
        ("int8", False, "torchscript", "take --format onnx or tflite, --int8"),
        (
            "float32",
            True,
            "onnx",
            "searched for float32 .*exported in int8.*was not counted: search by a table of int8",
        ),
        ("bf16", True, "tflite", "searched for bf16 .*exported in int8"),
        ("int8", True, "onnx", None),
        ("float32", False, "onnx", None),
        ("int8", False, "safetensors", None),
        ("not known", True, "tflite", None),
    ],
)
def test_an_export_of_another_type_than_was_searched_for_says_so(
    dtype: str, int8: bool, format_name, words: str | None
) -> None:
    config = ExportConfig(format=format_name, int8=int8)
    line = unlike_searched(config, {"dtype": dtype, "table": "t\n"})
    if words is None:
        assert line is None
    else:
        assert line is not None
        assert "\n" not in line
        assert re.search(words, line)


@pytest.mark.parametrize("tables", [None, [], {"t": None}, {"t": {"dtype": 3}}, {"u": {"dtype": "int8"}}])
def test_a_result_that_does_not_tell_its_tables_type_is_read_all_the_same(tmp_path: Path, tables: object) -> None:
    subnet = draw(SPACE, [SIZE], 0, [0])[0].to_dict()
    content = {"space": SPACE.name, "num_classes": 6, "tables": tables, "results": [{"table": "t", "subnet": subnet}]}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert "dtype" not in read_subnet(tmp_path / "result.json").facts


def test_a_predictor_of_an_unknown_type_is_refused() -> None:
    assert stated_dtype({}) == "float32"
    with pytest.raises(InputError, match="dtype is 'int4', expected one of float32, int8"):
        stated_dtype({"dtype": "int4"})
