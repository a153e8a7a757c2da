"""Figures of pages that are of shipped files are those of the files as they are now."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from ofa.tables import LatencyTable

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "latency_tables"
RESULTS = (ROOT / "docs/results.md").read_text()


def test_the_list_of_tables_has_each_one_s_error_as_its_header_has_it() -> None:
    listed = re.findall(
        r"^\| `([^`]+)\.csv` .*sums within ([0-9.]+) % of .*\(mean\), 95 % of them within ([0-9.]+) %",
        (TABLES / "README.md").read_text(),
        re.MULTILINE,
    )
    assert len(listed) >= 8
    for name, mean, most in listed:
        stated = LatencyTable.load(TABLES / f"{name}.csv").header["expected_error"]
        found = re.search(r"MAPE ([0-9.]+) %.*95 % within ([0-9.]+) %", stated)
        assert found, name
        # as many digits as are shown
        for shown, value in ((mean, found[1]), (most, found[2])):
            digits = len(shown.partition(".")[2])
            assert float(shown) == pytest.approx(float(value), abs=0.501 * 10**-digits), name


def test_the_list_of_tables_has_the_errors_of_estimates_as_their_headers_have_them() -> None:
    page = (TABLES / "README.md").read_text()
    stated = {path.stem: LatencyTable.load(path).header.get("expected_error", "") for path in TABLES.glob("*.csv")}
    means = {name: float(found[1]) for name, text in stated.items() if (found := re.match(r"mean ([0-9.]+) %", text))}
    cnns = re.search(
        r"37 named CNNs .* within ([0-9.]+) to ([0-9.]+) % \(mean; CPU\) and ([0-9.]+) to ([0-9.]+) %", page
    )
    assert cnns
    phones = [name for name in means if name.startswith(("pixel4-", "s10-", "mi8se-", "iphone7-"))]
    assert len(phones) == 12
    for gpu, (low, high) in ((False, cnns.groups()[:2]), (True, cnns.groups()[2:])):
        of = [means[name] for name in phones if name.endswith("gpu") == gpu]
        assert (min(of), max(of)) == (float(low), float(high))
    dpus = re.search(r"Accel-NASBench; .* within ([0-9.]+) and ([0-9.]+) % .* deviation ([0-9]+) and ([0-9]+) %", page)
    assert dpus
    of_dpus = [
        re.search(r"mbv3-w1.0, .*: standard deviation ([0-9]+), ", stated[name]) for name in ("zcu102", "vck190")
    ]
    assert [float(text) for text in dpus.groups()[:2]] == [means["zcu102"], means["vck190"]]
    assert [*dpus.groups()[2:]] == [found[1] for found in of_dpus if found]


def test_the_fastest_fifth_s_bias_is_that_of_every_validation_of_the_machine() -> None:
    page = (ROOT / "docs/results/measuring.md").read_text()
    low, high, count = re.findall(r"a bias of (\S+) to (\S+) % with (\w+) runtimes\s+and\s+types", page)[0]
    found = [json.loads(path.read_text())["fifths"][0] for path in TABLES.glob("xeon-amx-vm-*.validation.json")]
    of = [fifth["bias_pct"] for fifth in found]
    assert (low, high) == (f"{min(of):+.1f}", f"{max(of):+.1f}")
    assert count == {5: "five", 6: "six", 7: "seven"}[len(of)]


def test_gains_over_published_networks_are_those_of_both_runs() -> None:
    runs = [
        [json.loads((TABLES / f"epyc-vm-{runtime}{which}.baselines.json").read_text()) for which in ("", ".again")]
        for runtime in ("onnxruntime", "tflite")
    ]
    rows = re.findall(r"^\| ([A-Za-z0-9-]+) \| ([^|]+ / [^|]+) \| ([^|]+ / [^|]+) \|$", RESULTS, re.MULTILINE)
    assert len(rows) >= 7
    for name, *cells in rows:
        for cell, both in zip(cells, runs, strict=True):
            gains = [next(one for one in run["baselines"] if one["name"] == name)["found_networks"] for run in both]
            for shown, recipe in zip(cell.split(" / "), ("paper", "timm"), strict=True):
                times = [gain[recipe]["times_faster"] for gain in gains]
                expected = "-" if None in times else ", ".join(f"{t:.2f}" if t < 10 else f"{t:.1f}" for t in times)
                assert shown == expected, (name, recipe)


@pytest.mark.parametrize("machine", ["epyc-vm", "xeon-amx-vm"])
def test_runtimes_side_by_side_are_those_of_the_shipped_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["tables_compared.py", "--tables", machine])
    runpy.run_path(str(ROOT / "benchmarks/runtimes/tables_compared.py"), run_name="__main__")
    page = (ROOT / "docs/results/runtimes.md").read_text().splitlines()
    printed = capsys.readouterr().out
    # the third table is of validations: those of the EPYC are in other pages
    shown = printed.split("| again: MAPE")[0] if machine == "epyc-vm" else printed
    rows = [line for line in shown.splitlines() if line[:2] == "| " and "---" not in line and line[:8] != "| table "]
    assert len(rows) > 15
    assert [row for row in rows if row not in page] == []
