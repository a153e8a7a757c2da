"""What is named as the next step after a table can be taken."""

from pathlib import Path

import pytest

from ofa.blocks import all_blocks
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.profiling.next_step import next_step


def written(path: Path, name: str, classes: int, left_out: int = 0) -> Path:
    space = get_space(name, classes)
    rows = [TableRow(block, 0.1) for block in all_blocks(space, [48])]
    header = {"device": "D", "runtime": "R 1", "provenance": "measured", "space": name, "source": "test"}
    LatencyTable(header, rows[left_out:]).save(path)
    return path


def test_a_search_that_would_begin_is_the_next_step(tmp_path: Path) -> None:
    table = written(tmp_path / "two words.csv", "mbv3-w0.35", 10)
    assert next_step(table) == f"next: python -m ofa.search --table '{table}'"
    assert search(["--table", str(table), "--latency", "2.5", "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("name", "classes", "left_out", "lacks"),
    [
        ("mbv3-w0.1", 10, 0, "no accuracy predictor is shipped for mbv3-w0.1"),
        ("proxyless-w1.3", 10, 0, "no accuracy predictor is shipped for proxyless-w1.3"),
        ("mbv3-w0.35", 1000, 0, "the predictor's accuracies are of 10 classes"),
        ("mbv3-w0.35", 10, 3, "lacks 3 of the blocks"),
    ],
)
def test_a_search_that_would_fail_is_not(tmp_path: Path, name: str, classes: int, left_out: int, lacks: str) -> None:
    line = next_step(written(tmp_path / "t.csv", name, classes, left_out))
    assert line.startswith(f"before python -m ofa.search --table {tmp_path}/t.csv: ") and lacks in line
