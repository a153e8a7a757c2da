"""What commands say: mistakes before what is slow, next steps that can be typed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ofa.cli.console import spelled

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("ofa", "profilers", "latency_tables")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

MISTAKES = """
import importlib, sys
from ofa.errors import InputError
for line in sys.argv[1:]:
    module, *words = line.split()
    try:
        importlib.import_module(module + ".__main__").main(words)
        print(module, "took it")
    except InputError as error:
        print(error)
print("torch" in sys.modules)
"""
REFUSED = {
    "ofa.export --format onnx": "no supernet is shipped without a sub-network",
    "ofa.export --format onnx --subnet none.json": "none.json: no such file or folder",
    "ofa.export --format onnx --subnet bad.json": "bad.json: no sub-network: expected a result.json of ofa.search",
    "ofa.export --format onnx --subnet bad.json --out a.tflite": "--out is a.tflite, the name of a file of tflite",
    "ofa.export --format onnx --checkpoint none --subnet bad.json": "none: no such file or folder",
    "ofa.export --format onnx --checkpoint bad.json --subnet bad.json": "bad.json: no sub-network",
    "ofa.export --format onnx --subnet good.json": "no supernet is shipped for mbv3-w1.0",
    "ofa.export --format onnx --subnet other.json": "depths[0] is 9",
    "ofa.export --format onnx --subnet good.json --int8": "--int8 takes its ranges from real images",
    "ofa.export --format onnx --subnet good.json --labels none.txt": "none.txt: no such file or folder",
    "ofa.evaluate --checkpoint none --data .": "none: no such file or folder",
    "ofa.evaluate --checkpoint bad.json --data none": "none: no such folder or zip",
    "ofa.finetune --network none --data . --out run": "none: no such file or folder",
    "ofa.publish --checkpoint none --data . --out a.safetensors": "none: no such file or folder",
    "ofa.train --data none --space mbv3-w0.1 --out run": "none: no such folder or zip",
    "ofa.predict none.jpg --model none.onnx": "none.jpg: no such file, folder or zip",
    "ofa.predict bad.json --model none.onnx": "none.onnx: no such file",
    "ofa.predictors.collect --checkpoint none --data .": "none: no such file or folder",
}


def test_what_can_be_refused_without_torch_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"a": 1}')
    lists = '"kernel_sizes": %s, "expand_ratios": %s' % (([3] * 20,) * 2)
    for name, depth in (("good", 4), ("other", 9)):
        fields = f'"space": "mbv3-w1.0", "resolution": 128, "depths": {[depth] * 5}, {lists}'
        (tmp_path / f"{name}.json").write_text("{" + fields + "}")
    ran = subprocess.run(
        [sys.executable, "-c", MISTAKES, *REFUSED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    *said, torch_there = ran.stdout.splitlines()
    assert ran.stderr == ""
    assert [message in line for message, line in zip(REFUSED.values(), said, strict=True)] == [True] * len(said), said
    assert torch_there == "False"


@pytest.mark.parametrize("name", ["plain.csv", "two words.csv", "it's.csv", "$(touch x).csv", "-", "[red]x.csv", "*"])
def test_a_next_step_can_be_typed(name: str) -> None:
    assert shlex.split(spelled("ofa.search", "--table", Path(name))) == ["python", "-m", "ofa.search", "--table", name]


def test_a_next_step_is_one_line_whatever_a_file_is_called() -> None:
    names = ["a\nb\x1b[2J", "it's\\\n", "\u202e\udcff\tf", "Ä\n b"]
    line = spelled("ofa.search", "--table", *names)
    assert line.startswith("python -m ofa.search --table $'a\\nb\\x1b[2J' ")
    assert line.isprintable()
    script = line.replace("python", "printf '%s\\0'", 1)
    typed = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.split(b"\0")
    assert [os.fsdecode(word) for word in typed] == ["-m", "ofa.search", "--table", *names, ""]


def test_no_next_step_is_put_together_by_hand() -> None:
    """Of names that are not quoted: a planted one is found."""
    by_hand = re.compile(r"""["']next[^"'{]*python -m [^{"']*[{]""")
    assert by_hand.search('f"next: python -m ofa.search --table {out}"')
    found = {path.name for path in SOURCES if by_hand.search(path.read_text(encoding="utf-8"))}
    assert found == set()


def test_temporary_files_have_names_that_nobody_can_guess() -> None:
    guessed = re.compile(r"getpid\(\)[^\n]*[.](part|tmp)|with_suffix\([\"'][.](part|tmp)")
    assert guessed.search('path.with_name(f"{path.name}.{os.getpid()}.part")')
    assert [path.name for path in SOURCES if guessed.search(path.read_text(encoding="utf-8"))] == []


def test_temporary_folders_are_such_as_a_later_run_takes_away() -> None:
    made = re.compile(r"tempfile\.(TemporaryDirectory|mkdtemp)")
    found = {path.relative_to(ROOT).as_posix() for path in SOURCES if made.search(path.read_text(encoding="utf-8"))}
    assert found == {"ofa/runs/places.py"}


def test_titles_of_pictures_are_no_formulas() -> None:
    """They hold names of devices and files: two dollar signs in one ended a measurement with a traceback."""
    formula = re.compile(r"\.set_title\((?![^\n]*parse_math=False)")
    assert formula.search("axes.set_title(title)")
    assert [path.name for path in SOURCES if formula.search(path.read_text(encoding="utf-8"))] == []
