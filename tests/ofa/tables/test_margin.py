"""Margins: which ratio a confidence takes, of one limit and of several, and what a table's header says of them."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.margin import MARGIN, Margins, needed_runs
from ofa.tables.shipped import shipped_folder

RATIOS = tuple(((100 + np.random.default_rng(0).permutation(40)) / 100).tolist())
HEADER = {"device": "D", "runtime": "R", "provenance": "measured", "space": "mbv3-w0.35", "source": "a test"}


def margins(fast: tuple[float, ...] = RATIOS[:39], slow: tuple[float, ...] = RATIOS[:39]) -> Margins:
    return Margins("searched", 2.0, fast, slow, "a test")


@pytest.mark.parametrize(("confidence", "kept"), [(95, 38), (90, 36), (97.5, 39), (50, 20)])
def test_of_forty_exchangeable_networks_each_judged_by_the_others_so_many_keep_their_limit(
    confidence: float, kept: int
) -> None:
    count = 0
    for i, ratio in enumerate(RATIOS):
        others = RATIOS[:i] + RATIOS[i + 1 :]
        count += ratio <= margins(fast=others).margin([1.0], confidence).ratio
    assert count == kept
    assert kept / 40 >= confidence / 100


def test_a_limit_takes_the_margin_of_its_half() -> None:
    both = margins(slow=tuple(r / 1.3 for r in RATIOS[:39]))
    fast, slow = both.margin([2.0], 95), both.margin([2.0001], 95)
    assert fast.ratio == sorted(RATIOS[:39])[37]
    assert slow.ratio == fast.ratio / 1.3
    assert (fast.rank, fast.of) == (38, 39)
    assert fast.less([2.0]) == [math.floor(2e6 / fast.ratio) / 1e6]


def test_several_limits_are_a_run_that_is_scored_by_its_worst() -> None:
    own = margins(slow=RATIOS[1:])
    found = own.margin([1.0, 5.0], 95)
    by_hand = sorted(map(max, pairwise(RATIOS)))
    assert (found.ratio, found.rank, found.of) == (by_hand[37], 38, 39)
    # two of one half: runs of two networks, none of them in two runs
    pairs = [max(RATIOS[i], RATIOS[i + 1]) for i in range(0, 38, 2)]
    assert own.margin([1.0, 1.5], 95).ratio == max(pairs)
    assert own.margin([1.0, 1.5], 95).of == 19
    assert own.runs(2, 0) == pairs
    assert own.runs(2, 1) == [max(p, s) for p, s in zip(pairs, RATIOS[1:20], strict=True)]


@pytest.mark.parametrize(("limits", "best"), [((1.0,), 2), ((1.0,), 3), ((1.0, 3.0), 2), ((1.0, 1.5, 3.0), 2)])
def test_every_network_of_every_limit_is_one_of_the_run(limits: tuple[float, ...], best: int) -> None:
    """As many runs keep the ratio as were promised to, whatever the ratios: each network counts once in its half."""
    fast, slow = (tuple((1 + np.random.default_rng(s).random(400)).tolist()) for s in (1, 2))
    own = margins(fast, slow)
    found = own.margin(limits, 90, best)
    each = [best * sum(limit <= 2 for limit in limits), best * sum(limit > 2 for limit in limits)]
    assert (found.networks, found.limits, found.best) == (sum(each), len(limits), best)
    count = min(400 // n for n in each if n)
    worst = [
        max([*fast[i * each[0] : (i + 1) * each[0]], *slow[i * each[1] : (i + 1) * each[1]]]) for i in range(count)
    ]
    assert sum(w <= found.ratio for w in worst) == math.ceil(0.9 * (count + 1))
    assert found.ratio > own.margin(limits, 90).ratio
    assert f"runs of {sum(each)} networks, each by its worst" in str(found)


def test_what_is_too_little_names_how_much_is_enough() -> None:
    with pytest.raises(InputError, match=r"13 runs of 3 networks: .*--winners 57 .*for fewer networks a limit .--best"):
        margins().margin([1.0], 95, best=3)
    with pytest.raises(InputError, match=r"95 % needs 19 and the table has 13 runs of 3 networks: .*--winners 57"):
        margins().margin([1.0, 1.1, 1.2], 95)
    with pytest.raises(InputError, match=r"99 % needs 99 and .* has 39 networks: .*99 --overwrite\), or .* 97.5 %"):
        margins().margin([1.0], 99)
    for confidence in (50, 90, 95, 97.5, 99):
        n = needed_runs(confidence)
        assert math.ceil(round((n + 1) * confidence / 100, 9)) == n
        assert math.ceil(round(n * confidence / 100, 9)) > n - 1
    assert margins().margin([1.0], 97.5).rank == 39


def test_a_header_holds_them_and_every_damage_is_named() -> None:
    lines = margins().to_header()
    assert lines["margin_95"] == "1.3800, the 38th of 39 up to 2 ms; 1.3800, the 38th of 39 above"
    assert Margins.parse(lines, "t.csv") == margins()
    assert Margins.parse({"device": "D"}, "t.csv") is None
    for change, message in (
        ({"margin_networks": "some"}, "header margin_networks is 'some', expected searched or random"),
        ({"margin_fast": "1.0 nan"}, "header margin_fast is 'nan', expected a number"),
        ({"margin_slow": ""}, "header margin_slow is empty"),
        ({"margin_split_ms": "0"}, "header margin_split_ms is '0'"),
        ({"margin_slow": None}, "header has margin_networks, but no margin_slow"),
    ):
        damaged = {key: text for key, text in {**lines, **change}.items() if text is not None}
        with pytest.raises(InputError, match=f"t.csv: {message}"):
            Margins.parse(damaged, "t.csv")


def test_a_table_keeps_them_until_its_sums_are_corrected_anew(tmp_path) -> None:
    rows = [TableRow(block, 1.0) for block in all_blocks(get_space("mbv3-w0.35"), (64,))[:5]]
    LatencyTable({**HEADER, **margins().to_header()}, rows).save(tmp_path / "t.csv")
    table = LatencyTable.load(tmp_path / "t.csv")
    assert table.margins == margins()
    assert table.uncorrected.margins is None
    assert not [key for key in table.uncorrected.header if key.startswith(MARGIN)]
    with pytest.raises(InputError, match="header key 'margin_fsat': did you mean margin_fast"):
        LatencyTable({**HEADER, "margin_fsat": "1.0"}, rows)


def test_a_table_tells_which_sums_they_are_of(tmp_path) -> None:
    rows = [TableRow(block, 1.0) for block in all_blocks(get_space("mbv3-w0.35"), (64,))[:5]]
    of = LatencyTable(HEADER, rows).sums
    own = Margins("searched", 2.0, RATIOS, RATIOS, "a test", "mbv3-w0.35", of)
    LatencyTable({**HEADER, **own.to_header()}, rows).save(tmp_path / "t.csv")
    table = LatencyTable.load(tmp_path / "t.csv")
    assert table.margins == own
    assert (own.sums, own.space) == (table.sums, "mbv3-w0.35")
    for path in shipped_folder().glob("*.csv"):
        shipped = LatencyTable.load(path)
        assert shipped.margins is None or (shipped.margins.sums, shipped.margins.space) == (
            *(shipped.sums,),
            *shipped.spaces,
        )


def test_margins_of_random_networks_are_those_of_the_shipped_validations() -> None:
    found = 0
    for path in sorted(shipped_folder().glob("*.validation.json")):
        stated = json.loads(path.read_text())
        networks = [n for n in stated["networks"] if n["scored"]]
        table = LatencyTable.load(path.with_name(path.name.replace(".validation.json", ".csv")))
        assert table.margins is not None
        assert table.margins.networks == "random"
        ratios = sorted(n["measured_ms"] / n["predicted_ms"] for n in networks)
        assert sorted(table.margins.fast + table.margins.slow) == pytest.approx(ratios, abs=1.01e-4)
        halves = [sum(n["predicted_ms"] <= table.margins.split_ms for n in networks), len(networks)]
        assert len(table.margins.fast) == halves[0]
        assert abs(2 * halves[0] - halves[1]) <= 1
        found += 1
    assert found >= 4


def test_random_networks_are_drawn_in_an_order_that_says_nothing_of_their_sums() -> None:
    predicted = np.geomspace(1, 10, 100)
    own = Margins.of_random(predicted, predicted * np.linspace(1, 1.5, 100), "mbv3-w0.35", "today", "0a1b")
    assert (own.space, own.sums) == ("mbv3-w0.35", "0a1b")
    assert len(own.fast) == len(own.slow) == 50
    assert max(own.fast) < min(own.slow)
    rises = [b > a for a, b in pairwise(own.fast)]
    assert 10 < sum(rises) < 40
