"""Estimated tables: the command, what it refuses, the shipped tables and the errors that the docs promise."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.search.__main__ import main as search
from ofa.space import RESOLUTIONS, get_space
from ofa.tables import LatencyTable, TableRow, find_table
from ofa.tables.network_times import read_networks, write_networks
from profilers.estimating.cost_model import (
    choose_strength,
    fit_blocks,
    fit_networks,
    fit_table,
    network_terms,
    rescale,
    space_terms,
    table_terms,
)
from profilers.transfer import main

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "latency_tables"
# those of several sources: tests/profilers/estimating/test_combined.py
ESTIMATED = [
    path
    for path in sorted(TABLES.glob("*.csv"))
    if "\n# provenance: estimated\n" in (text := path.read_text()) and " --from all " not in text
]
PHONES = ("note8", "note10", "pixel1", "pixel2", "s7edge", "lg-g8")
HEADER = {"device": "D", "runtime": "r", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}
WEIGHTS = np.array([5e-8, 7e-8, 3e-7, 2.5e-7, 2e-7, 1e-7, 3e-7, 1e-6, 4e-7, 2e-7, 3e-3])


@pytest.fixture
def related(tmp_path: Path) -> Path:
    """A table that a cost model fits exactly."""
    blocks = all_blocks(get_space("mbv3-w1.0"), [128, 160, 192, 224])
    rows = [TableRow(b, ms) for b, ms in zip(blocks, (table_terms(blocks) @ WEIGHTS).tolist(), strict=True)]
    LatencyTable(HEADER, rows).save(tmp_path / "related.csv")
    return tmp_path / "related.csv"


def measured(folder: Path, count: int, factor: float, device: str = "My phone") -> Path:
    """Networks of a device that is slower by one factor, timed to the microsecond."""
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(5), count)
    times = [f"{ms:.3f}" for ms in factor * space_terms(space, genes) @ WEIGHTS]
    header = {"device": device, "runtime": "tflite"} if device else {}
    write_networks(folder / "n.csv", header, [("mbv3-w1.0", s) for s in space.decode(genes)], {"latency_ms": times})
    return folder / "n.csv"


def test_a_slower_relative_is_found_whatever_the_space(related: Path, tmp_path: Path) -> None:
    networks, out = measured(tmp_path, 3, 3.5), tmp_path / "t.csv"
    spaces = ["--space", "mbv3-w1.0", "--space", "proxyless-w1.3"]
    assert main(["--networks", str(networks), "--from", str(related), *spaces, "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    for name in ("mbv3-w1.0", "proxyless-w1.3"):
        space = get_space(name)
        assert table.coverage(space).complete == RESOLUTIONS
        genes = space.sample(np.random.default_rng(1), 20)
        assert np.allclose(table.latency_ms(space, genes), 3.5 * space_terms(space, genes) @ WEIGHTS, rtol=1e-3)
    assert (table.provenance, table.device, table.header["runtime"]) == ("estimated", "My phone", "tflite")
    assert table.header["expected_error"].startswith("mean 0.0 %, worst 0.0 % of 3 networks")
    assert table.header["source"] == f"a cost model of {related} (D, measured), scaled to 3 whole networks"
    assert table.header["scaled_by"] == "one factor"


def test_eight_networks_do_without_a_table(tmp_path: Path) -> None:
    networks, out = measured(tmp_path, 60, 2.0), tmp_path / "t.csv"
    assert main(["--networks", str(networks), "--resolutions", "160", "--out", str(out)]) == 0
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(1), 20, resolutions=[160])
    error = LatencyTable.load(out).latency_ms(space, genes) / (2.0 * space_terms(space, genes) @ WEIGHTS) - 1
    assert np.abs(error).mean() < 0.01
    with pytest.raises(InputError, match=r"has 5 networks: name a table of a related device with --from"):
        main(["--networks", str(measured(tmp_path, 5, 2.0)), "--out", str(out)])


def test_one_network_gives_a_factor_and_no_error(related: Path, tmp_path: Path) -> None:
    networks, out = measured(tmp_path, 1, 2.0), tmp_path / "t.csv"
    assert main(["--networks", str(networks), "--from", str(related), "--resolutions", "160", "--out", str(out)]) == 0
    assert LatencyTable.load(out).header["expected_error"].startswith("not known: one network")


def test_an_estimate_replaces_an_estimate_and_nothing_better(related: Path, tmp_path: Path) -> None:
    given = ["--networks", str(measured(tmp_path, 2, 2.0)), "--from", str(related), "--resolutions", "160"]
    before = related.read_bytes()
    with pytest.raises(InputError, match=r"related.csv is measured, which no estimate replaces"):
        main([*given, "--out", str(related)])
    assert related.read_bytes() == before
    assert main([*given, "--out", str(tmp_path / "t.csv")]) == main([*given, "--out", str(tmp_path / "t.csv")]) == 0
    other = [*given, "--device", "Another phone", "--out", str(tmp_path / "t.csv")]
    before = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(InputError, match=r"t\.csv is an estimate of My phone, this one is of Another phone"):
        main(other)
    assert (tmp_path / "t.csv").read_bytes() == before
    assert main([*other, "--overwrite"]) == 0
    assert LatencyTable.load(tmp_path / "t.csv").device == "Another phone"
    assert main([*given, "--out", str(related), "--overwrite"]) == 0
    assert LatencyTable.load(related).provenance == "estimated"


def test_suggested_networks_are_to_be_filled_in(related: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "n.csv"
    given = ["--suggest", "3", "--from", str(related), "--resolutions", "32,64", "--out", str(out)]
    assert main([*given, "--runtime", "onnxruntime"]) == 0
    assert [p.name for p in sorted((tmp_path / "n.models").iterdir())] == [f"network-0{i}.onnx" for i in (1, 2, 3)]
    assert "3 networks of mbv3-w1.0" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"n.csv:4:[0-9]+: latency_ms is '', expected a number of milliseconds"):
        main(["--networks", str(out), "--from", str(related), "--out", str(tmp_path / "t.csv")])
    out.write_text(
        "\n".join(line + ("7.5" if line.startswith("network") else "") for line in out.read_text().split("\n"))
    )
    assert len({subnet for _, subnet in read_networks(out).networks}) == 3
    with pytest.raises(InputError, match=r"n.csv exists: replace it with --overwrite"):
        main(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "one of --networks, --suggest is needed"),
        (["--networks", "N", "--suggest", "3"], "--suggest is not allowed with --networks: leave one out"),
        (["--suggest", "0"], "--suggest is 0, expected at least 1"),
        (["--suggest", "3", "--space", "mbv3-w1.0", "--space", "mbv3-w1.2"], "networks of one --space"),
        (["--suggest", "3", "--runtime", "ncnn"], "unknown runtime 'ncnn'"),
        (["--networks", "N", "--from", "nokia3310"], "nokia3310: no such latency table"),
        (["--networks", "N", "--from", "note10", "--device", "D", "--space", "mbv9"], "unknown space 'mbv9'"),
        (["--networks", "N", "--from", "note10"], "does not say '# device: ...': name it with --device"),
        (["--networks", "N", "--from", "note10", "--column", "x_ms"], "column 'x_ms': choose one of latency_ms"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(tmp_path: Path, given: list[str], message: str) -> None:
    networks = str(measured(tmp_path, 3, 2.0, device=""))
    with pytest.raises(InputError, match=message):
        main([networks if g == "N" else g for g in given] + ["--out", str(tmp_path / "t.csv")])
    assert not (tmp_path / "t.csv").exists()
    with pytest.raises(InputError, match=r"expected a file that ends in .csv"):
        main(["--suggest", "1", "--out", str(tmp_path / "t.txt")])


# ---- what is shipped


def test_all_the_promised_tables_are_there() -> None:
    phones = {"note8", "note10-w1.0", "pixel1", "pixel2", "s7edge", "lg-g8"}
    servers = {"1080ti-b64", "v100-b64", "tx2-b16", "xeon"}
    of_help = {f"{gpu}-help-b{b}" for gpu in ("2080ti", "v100") for b in (1, 32, 64)} | {"titan-xp-help-b64"}
    assert {path.stem for path in ESTIMATED} == phones | servers | of_help


@pytest.mark.parametrize("path", ESTIMATED, ids=lambda p: p.stem)
def test_an_estimated_table_says_what_it_rests_on(path: Path) -> None:
    table = LatencyTable.load(path)
    for key in ("source", "command", "networks", "scaled_by", "expected_error"):
        assert table.header[key]
    for name in table.spaces:
        assert set(RESOLUTIONS) <= set(table.coverage(get_space(name)).complete)
    assert table.header["batch"] == path.stem.rpartition("-b")[2] if "-b" in path.stem else "1"


@pytest.mark.parametrize("name", [*PHONES[:1], "note10-w1.0", "pixel1", "lg-g8", "tx2-b16", "xeon", "v100-help-b64"])
def test_the_shipped_table_is_what_its_command_makes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = LatencyTable.load(TABLES / f"{name}.csv")
    words = shlex.split(shipped.header["command"])
    assert words[:3] == ["python", "-m", "profilers.transfer"]
    assert words[-1] == f"latency_tables/{name}.csv"
    monkeypatch.chdir(ROOT)
    assert main([*words[3:-1], str(tmp_path / "made.csv")]) == 0
    made = LatencyTable.load(tmp_path / "made.csv")
    assert [row.block for row in made.rows] == [row.block for row in shipped.rows]
    assert np.allclose([r.latency_ms for r in made.rows], [r.latency_ms for r in shipped.rows], rtol=2e-3)
    assert made.header["expected_error"] == shipped.header["expected_error"]


def test_the_search_says_estimated_and_shows_the_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    # of the two spaces of the table, the one with a predictor is searched
    assert search(["--table", "1080ti-b64", "--latency", "20", "--resolutions", "160", "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1080ti-b64: NVIDIA GeForce GTX 1080 Ti (estimated)" in said
    assert "latencies are estimated, not measured here: a cost model of titan-xp-help-b64" in said
    assert "expected error of a latency: mean" in said


def test_published_phone_networks_are_predicted_from_the_others() -> None:
    prior = fit_table(LatencyTable.load(find_table("note10")))
    errors = []
    for phone in PHONES:
        times = read_networks(TABLES / "networks" / f"{phone}.csv")
        errors += fit_networks(prior, network_terms(times.networks), times.latency_ms).errors_pct.tolist()
    assert len(errors) == 16
    assert np.median(np.abs(errors)) <= 4
    assert np.max(np.abs(errors)) <= 8


@pytest.mark.parametrize(
    ("gpu", "related_gpu"), [("v100", "2080ti"), ("2080ti", "titan_rtx"), ("titan_xp", "titan_rtx")]
)
def test_ten_networks_predict_the_rest_of_a_gpu(gpu: str, related_gpu: str) -> None:
    path = TABLES / "networks" / "help-gpus.csv"
    times, other = read_networks(path, f"{gpu}_64_ms"), read_networks(path, f"{related_gpu}_64_ms")
    terms, latencies = network_terms(times.networks), times.latency_ms
    prior = fit_blocks(terms, other.latency_ms)
    errors = []
    for seed in range(10):
        drawn = np.isin(np.arange(len(terms)), np.random.default_rng(seed).choice(len(terms), 10, replace=False))
        strength = choose_strength(prior, terms[drawn], latencies[drawn])
        weights = rescale(prior, terms[drawn], latencies[drawn], strength)
        errors.append(100 * np.abs(terms[~drawn] @ weights / latencies[~drawn] - 1).mean())
    assert np.median(errors) <= 3
