"""A script of fifteen lines trains, collects, fits, searches and exports, by the public names alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import ofa
from ofa.blocks.costs import block_macs
from ofa.predictors import subnet_accuracies
from ofa.predictors.fit import measured
from ofa.tables import TableRow
from tests.helpers.short import one_split, short_searches

CLASSES = ("blue", "green", "red")
SPACE, PIXELS, LIMIT_MS = "mbv3-w0.1", 32, 1.5


def whole_way() -> tuple[ofa.SearchResult, ofa.ExportResult]:
    """The script, in a folder with pictures/ and t.csv."""
    trained = ofa.train_supernet(
        ofa.TrainConfig(data="pictures", space=SPACE, resolutions=[PIXELS], method="uniform", epochs=1, out="supernet")
    )
    collected = ofa.collect_accuracies(
        ofa.CollectConfig(checkpoint=trained.path, data="pictures", subnets=40, calibration_images=64, out="acc.csv")
    )
    fitted = ofa.fit_predictor(
        ofa.FitConfig(data=[collected.path], space=SPACE, members=2, epochs=3, out="p.safetensors")
    )
    found = ofa.search_subnets(
        ofa.SearchConfig(table=["t.csv"], predictor=fitted.path, latency=[LIMIT_MS], num_classes=len(CLASSES))
    )
    Path("result.json").write_text(json.dumps(found.to_dict()))
    exported = ofa.export_model(
        ofa.ExportConfig(
            checkpoint=trained.path, subnet="result.json", format="onnx", calibration="pictures", out="net.onnx"
        )
    )
    return found, exported


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with pictures and a latency table; predictors may be fitted to few accuracies."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, 120, (36, 36, 3), dtype=np.uint8)
            pixels[..., 2 - label] += 120
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    header = {"device": "Toy", "runtime": "none", "provenance": "measured", "space": SPACE, "source": "a test"}
    blocks = ofa.all_blocks(ofa.get_space(SPACE, len(CLASSES)), [PIXELS])
    ofa.LatencyTable(header, [TableRow(b, 0.01 + block_macs(b) / 1e6) for b in blocks]).save(tmp_path / "t.csv")
    # a hundred sub-networks, and five of them in each part, take too long to measure for a test
    monkeypatch.setattr(subnet_accuracies, "MIN_ROWS", 20)
    monkeypatch.setattr(measured, "_LEAST_ROWS", 1)
    short_searches(monkeypatch)
    one_split(monkeypatch)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other on a busy machine: layers are tiny here
    yield tmp_path
    torch.set_num_threads(threads)


def test_a_script_leads_from_pictures_to_a_model(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found, exported = whole_way()
    assert capfd.readouterr() == ("", "")  # who asks from Python is told by results
    (best,) = found.found["t"]
    assert best.latency_ms <= LIMIT_MS
    stored = {p.key: p.value for p in onnx.load(workplace / "net.onnx").metadata_props}
    assert json.loads(stored["subnet"]) == best.subnet.to_dict()
    assert stored["labels"].split("\n") == list(CLASSES)
    assert exported.float32 is not None
    assert exported.float32.top1_agreement_pct == 100
    assert exported.size_bytes == (workplace / "net.onnx").stat().st_size
    session = onnxruntime.InferenceSession(workplace / "net.onnx")
    (logits,) = session.run(None, {"input": np.zeros((1, 3, PIXELS, PIXELS), np.float32)})
    assert logits.shape == (1, len(CLASSES))
