"""Whole networks and their latencies, as a file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables.network_times import read_networks, write_networks

SPACES = ("mbv3-w1.0", "mbv3-w1.2", "proxyless-w1.3")


@given(spaces=st.lists(st.sampled_from(SPACES), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, spaces: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    networks = [(name, get_space(name).decode(get_space(name).sample(rng, 1))[0]) for name in spaces]
    latencies = [f"{ms:.3f}" for ms in rng.uniform(1, 100, len(networks))]
    path = tmp_path_factory.mktemp("networks") / "n.csv"
    write_networks(path, {"device": "D", "note": "a: b"}, networks, {"latency_ms": latencies}, ["x"] * len(networks))
    times = read_networks(path)
    assert times.networks == tuple(networks)
    assert times.latency_ms.tolist() == [float(ms) for ms in latencies]
    assert times.header == {"device": "D", "note": "a: b"}
    assert times.step_ms == pytest.approx(0.001)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    space = get_space("mbv3-w1.0")
    subnet = space.subnet([3] * 20, [4] * 20, [2] * 5, 236)  # not among the standard ones
    path = tmp_path / "n.csv"
    write_networks(path, {"device": "D"}, [("mbv3-w1.0", subnet)], {"latency_ms": ["22"]})
    return path


def test_figures_in_whole_milliseconds_are_known_as_such(saved: Path) -> None:
    assert read_networks(saved).step_ms == 1
    assert read_networks(saved).networks[0][1].resolution == 236


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("latency_ms", "latency", r"n.csv:2: no column: choose one of latency_ms"),
        ("latency_ms", "a_ms,b_ms", r"n.csv:3: 6 fields, expected 7"),
        ("depths", "depth", r"n.csv:2: column depths is missing"),
        (",22", ",", r"n.csv:3:105: latency_ms is '', expected a number of milliseconds"),
        (",22", ",-3", r"n.csv:3:105: latency_ms is '-3'"),
        (",22", ",nan", r"n.csv:3:105: latency_ms is 'nan'"),
        (",22", "", r"n.csv:3: 5 fields, expected 6"),
        ("2 2 2 2 2", "2 2 2 2 9", r"n.csv:3: depths\[4\] is 9, expected one of 2, 3, 4"),
        ("2 2 2 2 2", "2 2 2 2", r"n.csv:3: depths has 4 values, expected 5"),
        ("2 2 2 2 2", "2 2 2 2 x", r"n.csv:3:15: depths is 'x', expected a whole number"),
        ("mbv3-w1.0,", "mbv9,", r"n.csv:3: unknown space 'mbv9'"),
    ],
)
def test_faults_are_named_by_file_and_line(saved: Path, old: str, new: str, message: str) -> None:
    text = saved.read_text()
    assert old in text
    saved.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_networks(saved)


def test_blank_lines_do_not_shift_the_line_that_is_named(saved: Path) -> None:
    *head, row = saved.read_text().splitlines()
    smaller = row.replace("236", "128")
    saved.write_text("\n".join([*head, row, "", "", smaller, row.replace("236", "192").replace(",22", ",-3"), ""]))
    with pytest.raises(InputError, match=r"n.csv:7:105: latency_ms is '-3'"):
        read_networks(saved)


def test_empty_and_binary_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("# device: D\nspace,resolution,depths,kernel_sizes,expand_ratios,latency_ms\n")
    with pytest.raises(InputError, match=r"n.csv: no networks"):
        read_networks(path)
    path.write_bytes(b"\xff\xfd")
    with pytest.raises(InputError, match="byte 0 is not UTF-8"):
        read_networks(path)


def test_one_of_several_columns(saved: Path) -> None:
    saved.write_text(saved.read_text().replace("latency_ms", "a_ms,b_ms").replace(",22", ",22,33.5"))
    with pytest.raises(InputError, match=r"n.csv:2: several columns: choose one of a_ms, b_ms with --column"):
        read_networks(saved)
    assert read_networks(saved, "b_ms").latency_ms.tolist() == [33.5]
    with pytest.raises(InputError, match="column 'c_ms': choose one of a_ms, b_ms"):
        read_networks(saved, "c_ms")


@pytest.mark.parametrize("value", ["0.022", "22000", "1e300"])
def test_a_figure_in_another_unit_is_refused(saved: Path, value: str) -> None:
    *head, row = saved.read_text().splitlines()
    sizes = [str(size) for size in range(128, 225, 4)]
    rows = [row.replace("236", size) for size in sizes]
    saved.write_text("\n".join([*head, *rows, ""]))
    assert len(read_networks(saved).networks) == len(sizes)
    saved.write_text("\n".join([*head, *rows[:9], rows[9].replace(",22", f",{value}"), *rows[10:], ""]))
    with pytest.raises(InputError, match=r"n.csv:12:105: latency_ms is .* expected (a number of )?milliseconds"):
        read_networks(saved)


def test_a_network_stands_once_and_a_header_is_spelled_right(saved: Path) -> None:
    *head, row = saved.read_text().splitlines()
    saved.write_text("\n".join([*head, row, row, ""]))
    with pytest.raises(InputError, match=r"n.csv:4: this network is on line 3 already"):
        read_networks(saved)
    saved.write_text("\n".join(["# Batch: 64", *head, row, ""]))
    with pytest.raises(InputError, match=r"n.csv: header key 'Batch': did you mean batch\?"):
        read_networks(saved)


def test_of_figures_that_are_far_off_the_first_space_of_the_file_is_named(tmp_path: Path) -> None:
    """A set's order named another one from run to run."""
    rng, names = np.random.default_rng(0), [SPACES[i] for i in (2, 0, 1)]
    spaces = [(name, get_space(name)) for name in names for _ in range(3)]
    networks = [(name, space.decode(space.sample(rng, 1))[0]) for name, space in spaces]
    path = tmp_path / "n.csv"
    write_networks(path, {"device": "D"}, networks, {"latency_ms": ["20", "20", "20000"] * len(names)})
    with pytest.raises(InputError, match=r"latency_ms is 20000, and the median of proxyless-w1\.3 here is 20: another"):
        read_networks(path)
