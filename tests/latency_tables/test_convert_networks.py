"""Imports of whole-network latencies that others published."""

import csv
import gzip
from pathlib import Path

import pytest

from latency_tables.convert_networks import main
from latency_tables.phone_cnns import phone_cnn
from ofa.errors import InputError
from ofa.published.opening import open_network
from ofa.tables.network_times import read_networks

SHIPPED = Path(__file__).resolve().parents[2] / "latency_tables" / "networks"
DEVICES = {
    "note8": "note8", "note10": "note10", "pixel1": "pixel1", "pixel2": "pixel2", "s7edge": "s7edge", "lg-g8": "LG-G8",
    "1080ti-b64": "1080ti_gpu64", "v100-b64": "v100_gpu64", "tx2-b16": "tx2_gpu16", "xeon": "cpu",
}  # fmt: skip


@pytest.mark.parametrize("name", DEVICES)
def test_the_shipped_networks_are_the_published_ones(reference: Path, tmp_path: Path, name: str) -> None:
    published = str(reference / "networks" / "published.csv")
    out = tmp_path / "n.csv"
    given = [published, "--format", "mit", "--only", DEVICES[name], "--device", "D", "--source", "S", "--out", str(out)]
    assert main(given) == 0
    made, shipped = read_networks(out), read_networks(SHIPPED / f"{name}.csv")
    assert made.networks == shipped.networks
    assert made.latency_ms.tolist() == shipped.latency_ms.tolist()


def test_the_shipped_gpu_networks_are_every_fifth_published_one(reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "n.csv"
    published = str(reference / "networks" / "help_gpu_latency.csv")
    assert main([published, "--format", "help", "--every", "5", "--source", "S", "--out", str(out)]) == 0
    made, shipped = out.read_text().split("\n"), (SHIPPED / "help-gpus.csv").read_text().split("\n")
    assert made[1:] == shipped[1:]
    assert len(made) == 503


def test_mistakes_are_named(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("name,device,image_size,latency_ms\nx,note8,160,22\n")
    given = [str(listed), "--source", "S", "--out", str(tmp_path / "n.csv"), "--format"]
    with pytest.raises(InputError, match="needs --only and --device"):
        main([*given, "mit"])
    with pytest.raises(InputError, match="lists no network of note9"):
        main([*given, "mit", "--only", "note9", "--device", "D"])
    with pytest.raises(InputError, match="column resolution is missing"):
        main([*given, "help"])
    (tmp_path / "specialized").mkdir()
    (tmp_path / "specialized" / "x.net.json").write_text("{")
    with pytest.raises(InputError, match=r"x.net.json: not JSON: Expecting property name"):
        main([*given, "mit", "--only", "note8", "--device", "D"])
    assert not (tmp_path / "n.csv").exists()


def test_a_packed_list_is_read_as_it_was_published(reference: Path, tmp_path: Path) -> None:
    packed = reference / "networks" / "help_fbnet_latency.csv.gz"
    plain, out = tmp_path / "plain.csv", [tmp_path / "a.csv", tmp_path / "b.csv"]
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    given = ["--format", "fbnet", "--every", "400", "--source", "S", "--out"]
    for source, file in zip((packed, plain), out, strict=True):
        assert main([str(source), *given, str(file)]) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    assert len(codes_of(out[0])) == 10
    (tmp_path / "cut.csv.gz").write_bytes(packed.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut\.csv\.gz: damaged: it begins as a gzip file does, and is none"):
        main([str(tmp_path / "cut.csv.gz"), *given, str(out[0])])


@pytest.mark.parametrize(("name", "kind", "keys"), [("accel_nasbench", "accel", "e k l se"),
                                                    ("help_fbnet_latency", "fbnet", "ops")])  # fmt: skip
def test_every_network_keeps_its_own_latencies(
    reference: Path, tmp_path: Path, name: str, kind: str, keys: str
) -> None:
    source, out = reference / "networks" / f"{name}.csv.gz", tmp_path / "n.csv"
    assert main([str(source), "--format", kind, "--every", "3", "--source", "S", "--out", str(out)]) == 0
    text = gzip.decompress(source.read_bytes()).decode().splitlines(), out.read_text().splitlines()
    given, made = (list(csv.DictReader(line for line in lines if not line.startswith("#"))) for lines in text)
    prefix = {"accel": "mnasnet", "fbnet": "fbnet"}[kind]
    expected = {f"{prefix}:{'|'.join(row[key] for key in keys.split())}": row for row in reversed(given[::3])}
    assert len(made) == len(expected) > 600
    for row in made:
        published = expected[row["network"]]
        for column in row.keys() - {"network", "name"}:
            theirs = column if column in published else f"latency_{column.removesuffix('_ms')}"
            assert row[column] == published[theirs], column


def test_every_named_network_keeps_its_name_and_latencies(reference: Path, tmp_path: Path) -> None:
    source, out = reference / "networks" / "qed_usc_phone_cnns.csv", tmp_path / "n.csv"
    assert main([str(source), "--format", "qed", "--source", "S", "--out", str(out)]) == 0
    given, made = (
        list(csv.DictReader(line for line in file.read_text().splitlines() if not line.startswith("#")))
        for file in (source, out)
    )
    published = {row["model"]: row for row in given}
    assert len(made) > 30
    for row in made:
        blocks = phone_cnn(row["name"])
        assert blocks is not None
        assert open_network(row["network"]).blocks == tuple(blocks)
        columns = row.keys() - {"network", "name"}
        assert {c: row[c] for c in columns} == {c: published[row["name"]][c] for c in columns}


def test_a_packed_list_that_fills_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa.reading.csv_text.MOST_UNPACKED", 2**20)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"0" * 2**21))
    with pytest.raises(InputError, match="unpacks to more than 1 MiB"):
        main([str(bomb), "--format", "fbnet", "--source", "S", "--out", str(tmp_path / "a.csv")])


def codes_of(path: Path) -> list[str]:
    """The networks of a file, each of which is a network."""
    codes = [line.split(",")[0] for line in path.read_text().splitlines() if line.startswith("fbnet:")]
    assert all(open_network(code).num_classes == 100 for code in codes)
    return codes
