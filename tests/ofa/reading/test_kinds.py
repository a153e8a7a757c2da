"""A file of one kind where another is wanted: it is called by its name, by every command, before anything is read."""

import importlib
import importlib.util
import json
import shlex
from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.reading import kinds
from ofa.tables import LatencyTable
from tests.hostile.format import Format
from tests.hostile.formats import FORMATS

ONNX = b"\x08\x08\x12\x07pytorch" + bytes(100)
TFLITE = b"\x1c\0\0\0TFL3" + bytes(100)
# {format of tests/hostile: its kind}
KINDS = {
    "table": kinds.TABLE, "times": kinds.TIMES, "accuracies": kinds.ACCURACIES, "predictor": kinds.PREDICTOR,
    "ensemble": kinds.PREDICTOR, "mit-predictor": kinds.TORCH, "result": kinds.RESULT, "subnet": kinds.SUBNET,
    "mit-subnet": kinds.SUBNET, "supernet": kinds.SUPERNET, "network-file": kinds.NETWORK, "weights": kinds.TORCH,
    "journal": kinds.JOURNAL, "tables-toml": kinds.TABLES_TOML, "zip": kinds.ZIP, "space-toml": kinds.SPACE,
}  # fmt: skip
# {command and option: what it takes, the rest of the command line}
OPTIONS = {
    "ofa.search --table": ((kinds.TABLE,), ""),
    "ofa.search --predictor": (kinds.PREDICTORS, "--table note10"),
    "ofa.predictors.fit --data": ((kinds.ACCURACIES,), "--space mbv3-w1.0"),
    "ofa.predictors.fit --teacher": (kinds.PREDICTORS, "--space mbv3-w1.0"),
    "ofa.predictors.collect --checkpoint": (kinds.WEIGHTS, "--data ."),
    "ofa.export --subnet": (kinds.SUBNETS, "--format onnx"),
    "ofa.export --checkpoint": (kinds.WEIGHTS, "--format onnx"),
    "ofa.evaluate --checkpoint": ((*kinds.WEIGHTS, kinds.ONNX, kinds.TFLITE), "--data ."),
    "ofa.evaluate --subnet": (kinds.SUBNETS, "--data . --checkpoint x"),
    "ofa.finetune --network": (kinds.WEIGHTS, "--data . --out run"),
    "ofa.train --start": (kinds.WEIGHTS, "--data . --space mbv3-w1.0 --out run"),
    "ofa.publish --checkpoint": (kinds.WEIGHTS, "--data . --out x.safetensors"),
    "profilers.transfer --networks": ((kinds.TIMES,), "--from note10 --space mbv3-w1.0 --out t.csv"),
    "profilers.regenerate --config": ((kinds.TABLES_TOML,), "--out run"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """{file: its kind}, of every kind there is."""
    found = {}
    for name, kind in KINDS.items():
        folder = tmp_path_factory.mktemp(name)
        form: Format = FORMATS[name]
        form.make(folder)
        found[folder / form.name] = kind
    folder = tmp_path_factory.mktemp("others")
    (folder / "x.onnx").write_bytes(ONNX)
    (folder / "x.tflite").write_bytes(TFLITE)
    found |= {folder / "x.onnx": kinds.ONNX, folder / "x.tflite": kinds.TFLITE}
    for name, kind in (("labels/images/0.png", kinds.IMAGE), ("net-config/network/net.config", kinds.NET_CONFIG)):
        form_name, _, file = name.partition("/")
        folder = tmp_path_factory.mktemp(form_name)
        FORMATS[form_name].make(folder)
        found[folder / file] = kind
    header = next(path for path, kind in found.items() if kind == kinds.PREDICTOR).with_suffix(".json")
    return {**found, header: kinds.HEADER}


def test_every_kind_is_known(files: dict[Path, str]) -> None:
    assert {path: kinds.kind_of(path) for path in files} == files
    constants = {value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)}
    assert constants == set(files.values())


def test_a_list_of_several_devices_is_known_by_any_column_of_latencies(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("# a: b\nnetwork,pixel4_ms,s10_ms\nmobilenet_v2,5,6\n")
    assert kinds.kind_of(tmp_path / "x.csv") == kinds.TIMES


@pytest.mark.parametrize("option", OPTIONS)
def test_another_kind_is_refused_by_what_it_is(
    option: str, files: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module, flag = option.split()
    wanted, rest = OPTIONS[option]
    package = importlib.util.find_spec(module).submodule_search_locations is not None  # type: ignore[union-attr]
    command = importlib.import_module(module + ".__main__" * package).COMMAND
    for path, kind in files.items():
        words = [flag, str(path), *shlex.split(rest)]
        if kind in wanted:
            command.parse(words)
        else:
            with pytest.raises(InputError) as refused:
                command.parse(words)
            assert str(refused.value) == f"{flag}: {path} is {kind}, expected {' or '.join(wanted)}"


def test_a_table_is_told_from_others_wherever_it_is_read(files: dict[Path, str]) -> None:
    for path, kind in files.items():
        if kind != kinds.TABLE:
            with pytest.raises(InputError, match=f"is {kind}, expected a latency table"):
                LatencyTable.load(path)


@pytest.mark.parametrize("content", [b"", b"x", b"{", b"[]", b"PK", b"\x08", b"\xff" * 20, b"a,b\n", bytes(300)])
def test_what_is_of_no_kind_is_left_to_its_reader(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert kinds.kind_of(tmp_path / "x") is None
    assert kinds.wrong_kind(tmp_path / "x", (kinds.TABLE,)) is None
    assert kinds.kind_of(tmp_path) is None
    (tmp_path / "deep").write_text(json.dumps({"a": 1})[:-1] + ', "b": ' + "[" * 90_000)
    assert kinds.kind_of(tmp_path / "deep") is None
