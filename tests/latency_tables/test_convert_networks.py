"""Imports of whole-network latencies that others published."""

import gzip
from pathlib import Path

import pytest

from latency_tables.convert_networks import main
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
    csv = str(reference / "networks" / "help_gpu_latency.csv")
    assert main([csv, "--format", "help", "--every", "5", "--source", "S", "--out", str(out)]) == 0
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
