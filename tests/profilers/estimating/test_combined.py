"""Tables of several sources at once: the combination, what is refused, the shipped tables and their errors."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks, blocks_of, blocks_of_all
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.published.coded import blocks_of_code, code_of_blocks
from ofa.published.networks import PUBLISHED
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import write_networks
from profilers.estimating.combined import combined
from profilers.estimating.cost_model import (
    MORE_TERMS,
    TERMS,
    cost_terms,
    eleven,
    more_terms,
    more_terms_of,
    network_terms,
    terms_of_networks,
)
from profilers.estimating.estimate import with_doubt
from profilers.estimating.sources import of_table, open_sources
from profilers.estimating.timed_networks import read_timed
from profilers.transfer import main
from tests.profilers.estimating.made_up import BLOCKS, SPACE, networks_of, other_weights

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "latency_tables"
DPUS = TABLES / "networks" / "dpus.csv"
COMBINED = [p for p in sorted(TABLES.glob("*.csv")) if " --from all " in p.read_text()]
WITH_ERROR = [TABLES / f"{name}.csv" for name in ("zcu102", "raspberry-pi4", "s10-gpu", "mi8se-large", "note8", "xeon")]
HEADER = {"device": "D", "runtime": "r", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}


# ---- terms and networks in files


def test_the_first_terms_are_those_of_one_source_and_networks_are_sums_of_blocks() -> None:
    assert MORE_TERMS[: len(TERMS)] == tuple("dense_wide" if name == "dense" else name for name in TERMS)
    assert np.array_equal(eleven(more_terms_of(BLOCKS)), [cost_terms(block) for block in BLOCKS])
    stem, wide = BLOCKS[0], PUBLISHED["resnet50"].blocks(160)[2]
    counted = [dict(zip(MORE_TERMS, more_terms(block), strict=True)) for block in (stem, wide)]
    assert [(of["dense_thin"] > 0, of["dense_wide"] > 0) for of in counted] == [(True, False), (False, True)]
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(2), 300))
    terms = terms_of_networks(blocks_of_all(SPACE, subnets))
    assert np.allclose(eleven(terms), network_terms([(SPACE.name, s) for s in subnets]), rtol=1e-12)
    assert (terms[:, -1] == 1).all()
    assert np.allclose(terms[0, :-1], more_terms_of(blocks_of(SPACE, subnets[0])).sum(axis=0)[:-1])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_s_code_is_read_back(name: str) -> None:
    blocks = PUBLISHED[name].blocks(192)
    assert blocks_of_code(code_of_blocks(blocks)) == blocks


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "",
            "mobilenet",
            "chain:",
            "chain:224",
            "chain:9 conv>8k3s2relu",
            "chain:224 conv>8k3s2",
            "chain:224 conv>8k9s2relu",
        ),
        *(
            "chain:224 conv>8k3s2relu+skip",
            "mnasnet:1 2|3",
            "mnasnet:" + "|".join(["9 9 9 9 9 9 9"] * 4),
            "fbnet:1 2 3",
        ),
    ],
)
def test_codes_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(InputError):
        blocks_of_code(wrong)


# ---- the command


def written(folder: Path, count: int, per_ms: float = 1.0, header: str = "My phone") -> Path:
    genes = SPACE.sample(np.random.default_rng(7), count)
    rows = [("mbv3-w1.0", s) for s in SPACE.decode(genes)]
    latency = networks_of(count, 7) @ other_weights(11) * 3
    times = [f"{per_ms * ms:.7f}" for ms in latency]
    write_networks(folder / "n.csv", {"device": header}, rows, {"latency_ms": times})
    return folder / "n.csv"


@pytest.fixture
def tables(tmp_path: Path) -> str:
    """Three measured tables, as `--from` names them."""
    for seed in range(3):
        ms = np.maximum(more_terms_of(BLOCKS) @ other_weights(seed), 1e-6)
        rows = [TableRow(block, float(each)) for block, each in zip(BLOCKS, ms, strict=True)]
        LatencyTable(HEADER, rows).save(tmp_path / f"s{seed}.csv")
    return ",".join(str(tmp_path / f"s{seed}.csv") for seed in range(3))


def test_a_table_of_several_sources(tables: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = ["--networks", str(written(tmp_path, 10)), "--from", tables, "--resolutions", "128:224:32"]
    out = tmp_path / "t.csv"
    assert main([*given, "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert (table.provenance, table.device) == ("estimated", "My phone")
    assert "3 sources" in table.header["source"]
    assert "of 10 networks, each predicted from others, which about 90 % of further ones keep" in str(
        table.expected_error
    )
    genes = SPACE.sample(np.random.default_rng(1), 300, resolutions=[128, 160, 192, 224])
    truth = terms_of_networks(blocks_of_all(SPACE, genes)) @ other_weights(11) * 3
    assert 100 * np.abs(table.latency_ms(SPACE, genes) / truth - 1).mean() < 5
    assert "expected error: mean" in capsys.readouterr().out


def test_terms_that_cost_nothing_in_a_table_make_no_latency_unsure(tables: str, tmp_path: Path) -> None:
    path, told = written(tmp_path, 10), []
    given = ["--networks", str(path), "--from", tables, "--resolutions", "160", "--out", str(tmp_path / "t.csv")]
    for line in ("", "# without: operators kernels\n"):
        path.write_text(line + path.read_text())
        assert main(given) == 0
        known = LatencyTable.load(tmp_path / "t.csv").uncertainty
        assert known is not None
        told.append(np.abs(known.directions).max(axis=0))
    named = np.isin(MORE_TERMS, ["operators", "kernels"])
    assert (told[1] < 1e-5 * told[0])[named].all()  # 0.7e-6 here, and 7e-6 where BLAS has two threads
    assert (told[1] > 0.1 * told[0])[~named].mean() > 0.5


def test_of_25_networks_each_is_judged_by_itself_though_three_are_left_out_at_once(tables: str, tmp_path: Path) -> None:
    """More than are left out singly; two that were timed wrongly have the errors, one of either sign."""
    timed = read_timed(written(tmp_path, 25))
    latency = timed.latency_ms.copy()
    latency[[3, 21]] *= 1.5, 0.7
    found = combined(replace(timed, latency_ms=latency), open_sources(tables.split(",")), BLOCKS[:50])
    assert (found.errors_pct.argmin(), found.errors_pct.argmax()) == (3, 21)
    assert (found.off.argmax(), found.off.argmin()) == (3, 21)
    assert found.errors_pct[[3, 21]] == pytest.approx([100 / 1.5 - 100, 100 / 0.7 - 100], abs=8)


def test_large_maps_are_counted_where_a_layer_works_channel_by_channel() -> None:
    blocks = blocks_of_code("mnasnet:6 1 1 1 1 1 1|3 3 3 3 3 3 3|1 1 1 1 1 1 1|1 0 0 1 0 0 0")
    first, fourth = (dict(zip(MORE_TERMS, more_terms(blocks[i]), strict=True)) for i in (1, 4))
    values = 112 * 112 * 192  # which the expansion writes, the depthwise convolution and the gate
    assert (first["spilled_channelwise"], first["large_gates"]) == (2 * values, values)
    assert (fourth["gates"], fourth["spilled_channelwise"], fourth["large_gates"]) == (1, 0, 0)


def test_a_source_without_wide_full_convolutions_takes_them_for_matrix_products(tables: str) -> None:
    source = open_sources(tables.split(",")[:1])[0]
    of = dict(zip(MORE_TERMS, source.weights_ms.tolist(), strict=True))
    assert of["dense_wide"] == of["pointwise"] > 0
    assert not source.knows[MORE_TERMS.index("dense_wide")]
    # nor has a table without any, whose stem is left out, no price for thin ones
    table = LatencyTable.load(Path(tables.split(",")[0]))
    bare = of_table("bare", LatencyTable(HEADER, [row for row in table.rows if row.block.op != "conv"]))
    of = dict(zip(MORE_TERMS, bare.weights_ms.tolist(), strict=True))
    assert of["dense_thin"] == of["dense_wide"] == of["pointwise"] > 0
    assert not bare.knows[MORE_TERMS.index("dense_thin")]


@pytest.mark.parametrize(("per_ms", "unit"), [(1e-3, "s"), (1e3, "us")])
def test_seconds_and_microseconds_are_asked_for(tables: str, tmp_path: Path, per_ms: float, unit: str) -> None:
    given = ["--networks", str(written(tmp_path, 10, per_ms)), "--resolutions", "160", "--out", str(tmp_path / "t.csv")]
    for sources in (tables, tables.split(",")[0]):
        with pytest.raises(InputError, match=f"are they in {unit}"):
            main([*given, "--from", sources])
        assert main([*given, "--from", sources, "--unit", unit]) == 0
        found = LatencyTable.load(tmp_path / "t.csv")
        genes = SPACE.sample(np.random.default_rng(1), 5, resolutions=[160])
        assert 1 < found.latency_ms(SPACE, genes).mean() < 1000
        (tmp_path / "t.csv").unlink()
        other = "us" if unit == "s" else "s"
        with pytest.raises(InputError, match="write them in ms, with --unit ms"):  # a million times off
            main([*given, "--from", sources, "--unit", other])
    assert main([*given, "--from", tables, "--unit", "ms"]) == 0  # if that is what they are


@pytest.mark.parametrize("unit", ["s", "us"])
def test_milliseconds_are_not_taken_for_the_unit_that_is_named(tables: str, tmp_path: Path, unit: str) -> None:
    """So 4.6 to 53 are refused as seconds: no known device takes a minute for a network."""
    given = ["--networks", str(written(tmp_path, 10)), "--resolutions", "160", "--out", str(tmp_path / "t.csv")]
    than = {"s": "in seconds .* longer than", "us": "in microseconds .* shorter than"}[unit]
    for sources in (tables, tables.split(",")[0]):
        with pytest.raises(InputError, match=rf"{than} .*: are they in ms\? Say so by --unit ms"):
            main([*given, "--from", sources, "--unit", unit])
    with pytest.raises(InputError, match=than):
        main(["--suggest", "2", "--timed", *given[1:], "--space", SPACE.name, "--unit", unit])


def test_a_fast_gpu_in_milliseconds_or_a_slow_phone_in_seconds_is_asked_for(tables: str, tmp_path: Path) -> None:
    """Ten networks of 2 million MACs a ms, in seconds; a related device that is as fast, or not, tells by itself."""
    macs = np.array([sum(map(block_macs, of)) for of in read_timed(written(tmp_path, 10)).blocks])
    first = LatencyTable.load(Path(tables.split(",")[0]))
    as_fast = LatencyTable({**HEADER}, [TableRow(row.block, row.latency_ms / 50) for row in first.rows])
    as_fast.save(tmp_path / "fast.csv")
    written(tmp_path, 10, 1e-3 * 5e-7 * macs.mean() / read_timed(tmp_path / "n.csv").latency_ms.mean())
    given = ["--networks", str(tmp_path / "n.csv"), "--resolutions", "160", "--out", str(tmp_path / "t.csv")]
    with pytest.raises(InputError, match="by --unit ms or --unit s"):
        main([*given, "--from", tables])
    with pytest.raises(InputError, match="are they in s"):  # of a related phone
        main([*given, "--from", tables.split(",")[0]])
    assert not (tmp_path / "t.csv").exists()
    assert main([*given, "--from", str(tmp_path / "fast.csv")]) == 0
    assert main([*given, "--from", tables, "--unit", "s"]) == 0


def test_what_cannot_be_combined_is_named(tables: str, tmp_path: Path) -> None:
    given = ["--resolutions", "160", "--out", str(tmp_path / "t.csv"), "--networks"]
    ten = str(written(tmp_path, 10))
    alike = shutil.copy(ten, tmp_path / "alike.csv")
    first = tables.split(",")[0]
    for sources, message in (
        (f"{first},pixel1", "pixel1 is estimated itself"),
        (f"{first},{first}", "twice"),
        (f"{first},", "a name is empty"),
        ("", "a latency table's name is empty"),
        (f"all,{first}", "all has every measured table already: leave out the others"),
        (ten, f"name the column of a device too, such as --from {ten}:latency_ms"),
        (f"{first},{DPUS}", f"name the column of a device too, such as --from {DPUS}:zcu102_ms"),
        (f"{first},nokia", "nokia: no such latency table"),
        (f"{first},{alike}:x_ms", f"--from {alike}:x_ms: {alike} has no column 'x_ms', expected one of latency_ms"),
        (f"{DPUS}:x_ms", f"{DPUS} has no column 'x_ms', expected one of zcu102_ms, vck190_ms"),
        (f"{DPUS}:", f"{DPUS} has no column '', expected one of zcu102_ms, vck190_ms"),
        (f"{first},{ten}:latency_ms", "which are the networks themselves"),
        (f"{ten}:latency_ms", "which are the networks themselves"),
    ):
        with pytest.raises(InputError, match=message):
            main([*given, ten, "--from", sources])
    resnet = all_blocks(get_space("resnet50d"), [160])
    LatencyTable({**HEADER, "space": "resnet50d"}, [TableRow(b, 1.0) for b in resnet]).save(tmp_path / "r.csv")
    with pytest.raises(InputError, match="cannot price these networks: it has no depthwise"):
        main([*given, ten, "--from", str(tmp_path / "r.csv")])
    assert main([*given, ten, "--from", f"{tables},{tmp_path / 'r.csv'}"]) == 0  # the others can
    assert "3 sources" in LatencyTable.load(tmp_path / "t.csv").header["source"]
    assert main([*given, ten, "--from", f"{alike}:latency_ms"]) == 0  # a list may be the only source
    with pytest.raises(InputError, match="1 network: several sources are combined on at least 2"):
        main([*given, str(written(tmp_path, 1)), "--from", tables])
    coded = tmp_path / "c.csv"
    code = code_of_blocks(PUBLISHED["mobilenet_v2"].blocks())
    coded.write_text(f"# device: D\nname,network,latency_ms\na,{code},20\nb,{code},21\n")
    with pytest.raises(InputError, match=r"c.csv:4: this network is on line 3 already"):
        main([*given, str(coded), "--from", tables])


# ---- what is shipped


def test_all_the_promised_tables_are_there() -> None:
    phones = {f"{p}-{how}" for p in ("pixel4", "s10", "mi8se", "iphone7") for how in ("large", "large-int8", "gpu")}
    assert {path.stem for path in COMBINED} == phones | {"zcu102", "vck190", "pixel3", "raspberry-pi4"}


@pytest.mark.parametrize("path", COMBINED, ids=lambda p: p.stem)
def test_a_table_says_what_it_rests_on(path: Path) -> None:
    table = LatencyTable.load(path)
    assert table.expected_error
    assert "whole networks" in table.header["source"]
    assert ("gpu" in path.stem) <= (table.sum_correction.constant > 0.5)
    for name in ("mbv3-w1.0", "proxyless-w1.3"):
        assert table.coverage(get_space(name), range(128, 321, 32)).complete == tuple(range(128, 321, 32))
    assert path.stat().st_size < 62_000
    # and how surely it knows each network
    assert table.uncertainty is not None
    assert not table.deviations_changed
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(0), 100, resolutions=[224])
    latencies = table.uncertainty.latencies(table.lookup(space, [224]))
    shares = latencies.relative_sd(genes)
    assert shares.min() > 0.005
    # nobody timed a 7x7 kernel on these: what they do not know, they say; of smaller ones they know more
    unseen = path.stem in ("zcu102", "vck190", "raspberry-pi4", "pixel3")
    assert (shares.max() > 0.5) == unseen
    smaller = space.as_genes([space.subnet([k] * 20, [4] * 20, [3] * 5, resolution=224) for k in (3, 5)])
    assert latencies.relative_sd(smaller).max() < 0.7


def test_a_shipped_table_is_what_its_command_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = LatencyTable.load(TABLES / "s10-gpu.csv")
    words = shlex.split(shipped.header["command"])
    monkeypatch.chdir(ROOT)
    assert main([*words[3:-1], str(tmp_path / "made.csv")]) == 0
    made = LatencyTable.load(tmp_path / "made.csv")
    assert [row.block for row in made.rows] == [row.block for row in shipped.rows]
    # tables that are sources are measured again now and then, and weigh little beside 37 networks
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(0), 300, resolutions=[160, 224])
    assert np.allclose(made.latency_ms(space, genes), shipped.latency_ms(space, genes), rtol=0.05)
    assert made.header["expected_error"].startswith("mean 3.")


@pytest.mark.parametrize("path", WITH_ERROR, ids=lambda p: p.stem)
def test_a_stated_error_says_so_where_a_space_s_networks_are_less_sure_than_the_timed(path: Path) -> None:
    table = LatencyTable.load(path)
    text, _, _ = table.header["expected_error"].partition("; random networks of ")
    of_timed = re.search(r"(?:95 % within|worst) ([0-9.]+) %", text)
    assert of_timed
    spaces = [get_space(name) for name in table.spaces]
    resolutions = [int(size) for size in table.header["resolutions"].split(", ")]
    plain = table.with_error(text)
    assert with_doubt(plain, spaces, resolutions, float(of_timed[1])).header == table.header
    assert with_doubt(plain, spaces, resolutions, 500.0) is plain
    # and with the least bound every space is named, with as many figures
    _, _, doubt = with_doubt(plain, spaces, resolutions, 0.0).header["expected_error"].partition("random networks of ")
    assert doubt.startswith(f"{', '.join(table.spaces)}: standard deviation ")
    assert doubt.count(", ") == 2 * (len(spaces) - 1)


def test_a_search_prints_the_error_and_the_constant(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    given = ["--space", "mbv3-w1.0", "--resolutions", "160", "--out", str(tmp_path)]
    assert search(["--table", "s10-gpu", "--latency", "12", *given]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "expected error of a latency: mean 3.7 %" in said
    assert "every latency includes 3.4" in said
    assert "1 of 1 networks are outside the range that was timed (224 px, 4.4699 to 49.418 ms)" in said
    assert search(["--table", "s10-gpu", "--latency", "12", *given[:2], "--resolutions", "224", *given[4:]]) == 0
    assert "beyond those" not in capsys.readouterr().out
