"""`--precision`: half precision of evaluations and collections against fp32; in words where a device has none."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.checkpoints.weights import save_checkpoint
from ofa.errors import InputError, UsageError
from ofa.evaluate import __main__ as evaluate
from ofa.evaluate.precision import check_precision
from ofa.images.pixels.store import PixelBatch
from ofa.images.preprocessing import HALF
from ofa.networks import Supernet, build_supernet
from ofa.predictors.collect import __main__ as collect
from ofa.predictors.collect.measuring import PreparedImages, draw, measure
from ofa.space import get_space
from tests.helpers.photographs import write_classes
from tests.helpers.supernets import TINY

SPACE, CLASSES = get_space("mbv3-w0.1", 6), 6


@pytest.fixture(scope="module")
def net() -> Supernet:
    torch.manual_seed(0)
    return build_supernet(SPACE, dropout=0.0).eval()


def images() -> PreparedImages:
    """Bytes of noise, 130 to calibrate with and 150 to evaluate on: more than two batches each."""
    rng = np.random.default_rng(0)

    def batches(count: int) -> list[PixelBatch]:
        pixels = torch.from_numpy(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
        labels = torch.from_numpy(rng.integers(0, CLASSES, count))
        return [PixelBatch(*pair) for pair in zip(pixels.split(64), labels.split(64), strict=True)]

    return PreparedImages(batches(130), batches(150), *HALF)


def test_twenty_networks_in_bf16_have_the_losses_of_fp32_but_for_its_rounding(net: Supernet) -> None:
    subnets = draw(SPACE, (32,), 0, range(20))
    found = {precision: measure(net, subnets, images(), precision=precision) for precision in ("fp32", "bf16")}
    losses = {name: np.array([s.loss_sum / s.images for s in scores]) for name, scores in found.items()}
    deviation = np.abs(losses["bf16"] / losses["fp32"] - 1)
    # three digits are kept, and fifty layers of a network that never learnt add up what is lost
    assert deviation.mean() < 0.02
    assert deviation.max() < 0.06
    assert deviation.max() > 1e-6  # it was computed in half precision
    assert all(s.images == 150 for s in found["bf16"])
    assert measure(net, subnets, images(), precision="fp32") == found["fp32"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("precision")
    write_classes(root / "imgs", {"train": 2, "val": 3}, classes=6)
    torch.manual_seed(0)
    tiny = build_supernet(get_space(str(TINY), 6), dropout=0.0, resolutions=(32,))
    save_checkpoint(tiny, root / "supernet.safetensors")
    return root


def flags(files: Path, out: Path, *more: object) -> list[str]:
    given = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--device", "cpu", "--out", out]
    return [*map(str, given), "--calibration-batch", "4", "--allow-poor-calibration", *map(str, more)]


def test_files_say_the_precision_and_runs_of_two_are_not_mixed(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.csv"
    asked = flags(files, out, "--subnets", 3, "--precision", "bf16")
    assert collect.main(asked) == 0
    assert '# precision: "bf16"\n' in out.read_text()
    assert collect.main([*asked, "--resume"]) == 0  # finished before
    capsys.readouterr()
    with pytest.raises(InputError, match='with precision = "bf16", but this one has "fp32"'):
        collect.main(flags(files, out, "--subnets", 3, "--resume"))
    # a file of before there was a choice is one of fp32
    out.write_text(out.read_text().replace('# precision: "bf16"\n', ""))
    assert collect.main(flags(files, out, "--subnets", 3, "--resume")) == 0
    with pytest.raises(InputError, match="precision"):
        collect.main([*asked, "--resume"])
    rows = list(csv.DictReader(line for line in out.read_text().splitlines() if line[0] != "#"))
    assert len(rows) == 3


def test_evaluate_in_bf16(files: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / f"{precision}.json"
        assert evaluate.main(flags(files, out, "--random", 2, "--precision", precision)) == 0
        report = json.loads(out.read_text())
        assert report["precision"] == precision
        losses[precision] = [result["loss"] for result in report["results"]]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.01)


def test_what_the_device_cannot_is_refused_in_words(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command, more in ((collect.main, ("--subnets", 2)), (evaluate.main, ("--random", 2))):
        with pytest.raises(InputError, match="--precision fp16 needs a GPU, the device is cpu: use bf16 or fp32"):
            command(flags(files, tmp_path / "r.csv", *more, "--precision", "fp16"))
    with pytest.raises(UsageError, match="--dtype int8 is rounded in fp32: leave out --precision bf16"):
        collect.main(flags(files, tmp_path / "r.csv", "--dtype", "int8", "--precision", "bf16"))
    assert list(tmp_path.iterdir()) == []
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    with pytest.raises(InputError, match=r"bf16 needs a GPU of compute capability 8\.0, cuda:0 has less: use fp16"):
        check_precision("bf16", gpu)
    check_precision("fp16", gpu)
    check_precision("fp32", gpu)
