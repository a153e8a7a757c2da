"""tables.toml: what is refused by name, and when a device is at hand."""

from pathlib import Path

import pytest

from device_agents.cpu.machine import cpu_model
from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers import regenerate
from profilers.changes.tables_config import load_config, why_not_here
from profilers.regenerate import PROFILERS

ROOT = Path(__file__).resolve().parents[3]
GOOD = '[[table]]\nfile = "a.csv"\nprofiler = "cpu"\nargs = ["--space", "mbv3-w0.35", "--resolutions", "64"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "tables.toml"
    path.write_text(text)
    return path


def test_the_projects_configuration_names_measured_tables_that_are_there() -> None:
    for entry in load_config(ROOT / "latency_tables" / "tables.toml", PROFILERS):
        table = LatencyTable.load(ROOT / "latency_tables" / entry.file)
        assert table.provenance == "measured"
        assert entry.options.space in table.spaces
        assert entry.options.resolutions == table.resolutions


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[table]]", "[table]", r"tables.toml: expected \[\[table\]\] entries and nothing else"),
        ("[[table]]", "x = 1\n[[table]]", r"expected \[\[table\]\] entries and nothing else"),
        ('"cpu"', "cpu", "tables.toml: not TOML: Invalid value"),
        ("profiler", "profile", "tables.toml: table 1: expected the keys file, profiler, args"),
        ('"cpu"', '"tpu"', "table 1: profiler is 'tpu', expected one of cpu, gpu, android, linux"),
        ("a.csv", "../a.csv", "table 1: file is '../a.csv', expected the name of a .csv file"),
        ("a.csv", "a.txt", "expected the name of a .csv file"),
        ('"64"]', "64]", "expected a list of strings"),
        ("--space", "--spice", "args are not those of profilers.cpu: .*--spice"),
        (
            '"64"]',
            '"64", "--overwrite"]',
            "args are not those of profilers.cpu: .*--overwrite is not allowed",
        ),
        ('"64"]', '"64", "--help"]', "args are not those of profilers.cpu: --help"),
        ('"cpu"', '"linux"', "args are not those of profilers.linux: .*--host"),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        load_config(written(tmp_path, GOOD.replace(old, new)), PROFILERS)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("a.again.csv", r"a\.again\.csv is what a run calls a copy of a\.csv: name it otherwise"),
        ("a.before.csv", r"a\.before\.csv is what a run calls a copy of a\.csv: name it otherwise"),
        ("A.csv", r"A\.csv is there twice"),
        ("a\\u001b.csv", r"file is 'a\\x1b\.csv', expected a name that can be printed"),
        ("a\\u0000.csv", r"file is 'a\\x00\.csv', expected a name that can be printed"),
        ("a\\nb.csv", r"file is 'a\\nb\.csv', expected a name that can be printed"),
    ],
)
def test_no_two_tables_nor_their_copies_are_one_file(tmp_path: Path, second: str, message: str) -> None:
    for text in (GOOD + GOOD.replace("a.csv", second), GOOD.replace("a.csv", second) + GOOD):
        with pytest.raises(InputError, match=message.replace("A", "[Aa]")):
            load_config(written(tmp_path, text), PROFILERS)
    both = load_config(written(tmp_path, GOOD + GOOD.replace("a.csv", "b.again.csv")), PROFILERS)
    assert [entry.file for entry in both] == ["a.csv", "b.again.csv"]


def test_more_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv is there twice"):
        load_config(written(tmp_path, GOOD + GOOD), PROFILERS)
    with pytest.raises(InputError, match=r"none\.toml: no such configuration"):
        load_config(tmp_path / "none.toml", PROFILERS)
    phone = '[[table]]\nfile = "a.csv"\nprofiler = "android"\nargs = ["--list"]\n'
    with pytest.raises(InputError, match=r"args ask profilers\.android for something else than a table"):
        load_config(written(tmp_path, phone), PROFILERS)


def test_a_cpu_is_at_hand_if_its_model_is_the_tables(tmp_path: Path) -> None:
    (entry,) = load_config(written(tmp_path, GOOD), PROFILERS)
    assert why_not_here(entry, {"soc": str(cpu_model())}) is None
    assert why_not_here(entry, {}) is None
    assert why_not_here(entry, {"soc": "Z80"}) == f"this is {cpu_model()}, the table is of Z80"


@pytest.mark.parametrize(
    ("profiler", "args", "message"),
    [
        ("gpu", '["--device", "cuda:63"]', "CUDA|cuda:63"),
        # a port of this machine on which nothing listens
        ("android", '["--serial", "127.0.0.1:9"]', "127.0.0.1:9"),
        ("linux", '["--host", "nobody@host.invalid"]', "host.invalid|no ssh here"),
    ],
)
def test_a_device_that_does_not_answer_is_not_at_hand(tmp_path: Path, profiler: str, args: str, message: str) -> None:
    text = f'[[table]]\nfile = "a.csv"\nprofiler = "{profiler}"\nargs = {args}\n'
    (entry,) = load_config(written(tmp_path, text), PROFILERS)
    reason = why_not_here(entry, {})
    assert reason is not None
    assert any(word in reason for word in message.split("|"))


@pytest.mark.parametrize("file", ["", "../x.csv", "other.csv"])
def test_a_table_that_the_list_lacks_is_refused(file: str, tmp_path: Path) -> None:
    lists = tmp_path / "tables.toml"
    lists.write_text('[[table]]\nfile = "a.csv"\nprofiler = "cpu"\nargs = ["--space", "mbv3-w1.0"]\n')
    with pytest.raises(InputError, match=r"--only is .*, expected one of a\.csv"):
        regenerate.main(["--config", str(lists), "--out", str(tmp_path / "new"), "--only", file])
    assert not (tmp_path / "new").exists()
