"""Imports of whole-network latencies that others published."""

from pathlib import Path

import pytest

from latency_tables.convert_networks import main
from ofa.errors import InputError
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
