"""What commands say of images that are not used: each once, whatever reads them how often."""

import shutil
from pathlib import Path

import pytest

from ofa.checkpoints.weights import save_checkpoint
from ofa.evaluate.__main__ import main as evaluate
from ofa.networks import build_supernet
from ofa.space import get_space


@pytest.mark.slow
def test_evaluating_several_subnets_names_each_broken_image_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are evaluated, and those that are calibrated with, which every sub-network reads anew."""
    images = tmp_path / "imgs"
    shutil.copytree(photos, images)
    for name in ("train/class0/2.png", "val/class1/1.png"):
        (images / name).write_bytes(b"broken")
    for name in ("train/class1/notes.txt", "val/class2/notes.md"):
        (images / name).write_bytes(b"")
    space = get_space("mbv3-w0.1", 3)
    save_checkpoint(build_supernet(space, resolutions=(32, 48)), tmp_path / "w.safetensors")
    code = evaluate(
        ["--checkpoint", str(tmp_path / "w.safetensors"), "--data", str(images), "--random", "3", "--mean", "half",
         "--allow-poor-calibration",
         "--out", str(tmp_path / "result.json")]
    )  # fmt: skip
    assert code == 0
    captured = capsys.readouterr()
    said = captured.out + captured.err
    for name, kind in (("train/class0/2.png", ".txt"), ("val/class1/1.png", ".md")):
        assert said.count(name) == 1
        assert said.count(f"1 file is left out: 1 {kind}\n") == 1
    assert "2 broken images are skipped" in said
