"""Every reader on files that were damaged at random: `benchmarks/reliability/fuzz.py` does the same for hours."""

import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .format import Files, Format, write
from .formats import FORMATS
from .mutations import mutated, tried

# so many that all together take some 20 s
FEW = {
    "supernet": 5,
    "network": 12,
    "network-file": 12,
    "mit-network": 8,
    "net-config": 20,
    "accuracies": 15,
    "predictor": 15,
    **dict.fromkeys(("report-search", "report-verification", "report-evaluation"), 25),
    **dict.fromkeys(("report-metrics", "report-validation", "report-baselines"), 25),
}
USUAL = 80


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_in_one_line_or_read_soundly(name: str, tmp_path: Path) -> None:
    sound, work = tmp_path / "sound", tmp_path / "work"
    sound.mkdir()
    files: Files = FORMATS[name].files(sound)

    @settings(max_examples=FEW.get(name, USUAL), database=None)
    @given(st.randoms(use_true_random=False))
    def read(random: Random) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        found = tried(name, mutated(random, files), work)
        assert found is None, found.why

    read()


def test_a_planted_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that forgets one check, or says nothing of the file."""
    import json

    form = FORMATS["recipe"]
    files = form.files(tmp_path)
    for i, wrong in enumerate((lambda path: json.loads(path.read_bytes())[0]["epochs"] + 1, write)):
        monkeypatch.setitem(FORMATS, "recipe", Format(form.name, form.make, wrong))  # type: ignore[dict-item]
        finds = []
        for seed in range(40):
            folder = tmp_path / f"{i}-{seed}"
            write(folder, {})
            folder.mkdir(exist_ok=True)
            finds.append(tried("recipe", mutated(Random(seed), files), folder))
        assert any(finds)
