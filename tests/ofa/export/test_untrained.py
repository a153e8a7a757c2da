"""Networks that are in no space as files with random weights: anything can be timed, and nothing passes for trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.errors import InputError, UsageError
from ofa.export import __main__ as command
from ofa.export.config import ExportConfig
from ofa.export.run import export_model
from ofa.export.runtimes import runner
from ofa.graph import network_graph
from ofa.graph.torch import build_torch
from ofa.predict.model import open_model, tflite_metadata
from ofa.published.block_list import block_list
from ofa.published.opening import open_network


@pytest.mark.parametrize("kind", ["onnx", "tflite", "torchscript"])
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "fbnet:" + "5 " * 22])
def test_a_named_network_is_written_and_runs(name: str, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "net"
    result = export_model(ExportConfig(network=name, format=kind, resolution=48, batch=2, seed=3, out=out))
    network = open_network(name, 48)
    images = np.random.default_rng(0).random((3, 3, 48, 48), dtype=np.float32)
    with torch.no_grad():
        expected = build_torch(network_graph(network.blocks, seed=3))(torch.from_numpy(images)).numpy()
    found = runner(kind, out.read_bytes(), 2)(images)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert (result.resolution, result.size_bytes) == (48, out.stat().st_size)
    assert any(text.startswith("untrained: ") for text in result.warnings)
    assert result.images.marks == result.warnings


def test_screen_and_file_say_that_it_is_untrained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "mine.json"
    source.write_text(json.dumps(block_list(open_network("mobilenet_v2_050", 64))))
    out = tmp_path / "mine.tflite"
    assert command.main(["--network", str(source), "--format", "tflite", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: untrained: its weights are random")
    assert f"wrote {out}: tflite, float32, batch 1, 64 px" in captured.out
    assert "ofa.predict" not in captured.out
    facts = tflite_metadata(out.read_bytes())
    assert (facts["network"], facts["weights"], facts["resolution"]) == ("mobilenet_v2_050", "random, seed 0", "64")
    assert facts["marks"].startswith("untrained: ")
    assert facts["blocks"].splitlines() == [str(block) for block in open_network("mobilenet_v2_050", 64).blocks]
    with pytest.raises(InputError, match="its metadata has task 'timing: no task was learnt', expected image class"):
        open_model(out)


def test_a_text_is_not_replaced_by_a_model(tmp_path: Path) -> None:
    out = tmp_path / "list.json"
    given = ["--network", "mobilenet_v2_050@32", "--format", "onnx", "--out", str(out)]
    out.write_text("[]\n")
    with pytest.raises(InputError, match=r"list.json is there, and is no onnx file: name another"):
        command.main(given)
    assert out.read_text() == "[]\n"
    out.unlink()
    assert command.main(given) == command.main(given) == 0  # a model replaces a model, whatever it is called


def test_what_is_of_trained_networks_alone_is_refused(tmp_path: Path) -> None:
    for given, words in (
        ({"int8": True}, "--int8 is not allowed with --network"),
        ({"opset": 11}, "--opset is not allowed with --network"),
        ({"with_preprocessing": True}, "--with-preprocessing is not allowed with --network"),
        ({"batch": None}, "--batch dynamic is not allowed with --network"),
        ({"subnet": tmp_path}, "--subnet is not allowed with --network"),
        ({"format": "safetensors"}, "--network has random weights, which --format safetensors is not for"),
    ):
        with pytest.raises(UsageError, match=words):
            ExportConfig(**{"network": "resnet18", "format": "onnx", **given})
    out = tmp_path / "a.onnx"
    with pytest.raises(InputError, match="did you mean resnet18"):
        command.main(["--network", "resnet_18", "--format", "onnx", "--out", str(out)])
    large = {"resolution": 32, "blocks": [{"op": "conv", "out_channels": 100_000, "kernel_size": 7}] * 3}
    (tmp_path / "large.json").write_text(json.dumps(large))
    with pytest.raises(InputError, match="large: 980,015,300,000 parameters: models of more than 500,000,000"):
        command.main(["--network", str(tmp_path / "large.json"), "--format", "onnx", "--out", str(out)])
    assert not out.exists()


def test_a_network_that_no_memory_holds_is_refused_before_it_is_written(tmp_path: Path) -> None:
    blocks = [{"op": "conv", "out_channels": 65535, "kernel_size": 7}, {"op": "global_pool"}]
    blocks.append({"op": "linear", "out_channels": 10})
    (tmp_path / "big.json").write_text(json.dumps({"name": "big", "resolution": 1024, "blocks": blocks}))
    words = [f"--network={tmp_path / 'big.json'}", "--format=onnx", f"--out={tmp_path / 'big.onnx'}"]
    with pytest.raises(
        InputError, match=r"^big has 2,\d+ GB of activations at once, and this machine \d+ GB of memory"
    ):
        command.main([*words, "--batch=8"])
    assert [file.name for file in tmp_path.iterdir()] == ["big.json"]
