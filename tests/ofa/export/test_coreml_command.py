"""python -m ofa.export --format coreml: written anywhere, run on macOS alone, and marked where it was not."""

import sys
from pathlib import Path

import pytest
import torch

from ofa.errors import InputError
from ofa.export import run
from ofa.export.__main__ import main
from ofa.networks import extract

from .conftest import PIXELS, Toy


def given(toy: Toy, out: Path, *more: str) -> list[str]:
    return [f"--subnet={toy.result}", f"--checkpoint={toy.checkpoint}", "--format=coreml", f"--out={out}", *more]


def test_off_macos_it_is_marked(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed: pip install 'ofa-latency[coreml]'")
    from tests.ofa.graph.test_coreml import computed, parsed

    monkeypatch.setattr("sys.platform", "linux")
    out = tmp_path / "m.mlmodel"
    assert main(given(toy, out)) == 0
    assert "warning: never run: Core ML runs only on macOS" in capsys.readouterr().err
    description = parsed(out.read_bytes()).description.metadata.userDefined
    assert "never run" in description["marks"]
    assert description["resolution"] == str(PIXELS)
    x = torch.randn(1, 3, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = extract(toy.net, toy.subnet).eval()(x)
    torch.testing.assert_close(computed(out.read_bytes(), x), expected, atol=1e-3, rtol=1e-3)


def test_on_macos_it_is_run_and_compared(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed: pip install 'ofa-latency[coreml]'")
    from tests.ofa.graph.test_coreml import computed, parsed

    # Core ML's place is taken by the layers' own computation
    monkeypatch.setattr(run, "runs_here", lambda _: True)
    monkeypatch.setattr(
        "ofa.export.runtimes._coreml", lambda model: lambda x: computed(model, torch.from_numpy(x)).numpy()
    )
    out = tmp_path / "m.mlmodel"
    assert main(given(toy, out, "--batch=3")) == 0
    said = capsys.readouterr()
    assert "same top-1 on 100.00 % of 8 images" in said.out
    assert "never run" not in said.err
    assert "marks" not in parsed(out.read_bytes()).description.metadata.userDefined


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--int8", "--calibration=."], "--int8 is for onnx and tflite, not coreml"),
        (["--batch=dynamic"], "--batch dynamic is not for coreml"),
        (["--opset=13"], "--opset is of ONNX files, but --format is coreml"),
        (["--with-preprocessing"], "--with-preprocessing is for onnx and tflite, but --format is coreml"),
    ],
)
def test_refused(toy: Toy, tmp_path: Path, more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(given(toy, tmp_path / "m.mlmodel", *more))
    assert list(tmp_path.iterdir()) == []


def test_what_installs_it(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa.optional_packages.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "coremltools", raising=False)
    with pytest.raises(InputError, match=r"--format coreml needs coremltools: pip install 'ofa-latency\[coreml\]'"):
        main(given(toy, tmp_path / "m.mlmodel"))
