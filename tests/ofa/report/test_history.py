"""A device's history on the page: its tables, what happened, and what is no history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError
from tests.helpers.report_runs import NASTY
from tests.ofa.report.shown import shown


def history(path: Path, tables: int = 90, **changed: Any) -> Path:
    """Of a device that drifts by 8 % on its last night, and has another runtime from the 60th on."""
    rows = [
        {
            "table": f"n{number}.csv",
            "when": f"2026-{number // 28 + 1:02}-{number % 28 + 1:02}T02:00:00+00:00",
            "era": number // 60,
            "state": "drifted" if number == tables - 1 else "first" if number % 60 == 0 else "unchanged",
            "level_pct": None if number % 60 == 0 else 8.0 if number == tables - 1 else 0.5 * (-1) ** number,
            "error_pct": None if number % 60 == 0 else 0.3,
            "changed": 0,
            "blocks": 461,
        }
        for number in range(tables)
    ]
    content = {
        "device": "Phone 7",
        "device_id": "5b1e",
        "settings": {"runtime": "tflite", "space": "mbv3-w1.0"},
        "effect_pct": 5.0,
        "nights": rows,
        "events": ["2026-03-05: runtime is tflite 2.15, was tflite 2.14", "2026-04-06: all blocks +8.0 %"],
        "aside": "2026-04-06: all blocks +8.0 %",
        **changed,
    }
    path.write_text(json.dumps({"history": [content]}))
    return path


def test_every_table_is_a_point_and_what_happened_stands_below(tmp_path: Path) -> None:
    page = shown(history(tmp_path / "h.json"))
    (section,) = page.sections
    assert (page.title, section.title) == ("Histories of Phone 7", "History: Phone 7")
    assert section.about == "id 5b1e · tflite · mbv3-w1.0 · 90 tables, 2026-01-01 to 2026-04-06"
    assert section.lines == (
        "The last table is not like those before it. 2026-04-06: all blocks +8.0 %.",
        "2026-03-05: runtime is tflite 2.15, was tflite 2.14.",
    )
    ((figure,),) = (row.figures for row in section.charts)
    rows, begins = (data["values"] for data in figure.spec["data"])
    assert [row["y"] for row in rows] == [
        8.0 if n == 89 else 0.0 if n in (0, 60) else 0.5 * (-1) ** n for n in range(90)
    ]
    assert [row["x"] for row in rows] == sorted({row["x"] for row in rows})
    assert [n for n, row in enumerate(rows) if row["o"]] == [89]
    assert begins == [{"x": rows[60]["x"]}]


def test_dates_of_two_time_zones_are_in_the_order_of_time(tmp_path: Path) -> None:
    path = history(tmp_path / "h.json", 3)
    content = json.loads(path.read_text())
    for night, when in zip(
        content["history"][0]["nights"],
        ("2026-11-02T00:30:00+02:00", "2026-11-01T23:30:00", "2026-11-02T03:00:00+02:00"),
        strict=True,
    ):
        night["when"] = when
    path.write_text(json.dumps(content))
    (section,) = shown(path).sections
    assert section.about.endswith("3 tables, 2026-11-02 to 2026-11-02")
    spec = section.charts[0].figures[0].spec
    rows = spec["data"][0]["values"]
    first, last = spec["scales"][0]["domain"]
    # hours of the 2nd of November in the last one's zone
    midnight = datetime(2026, 11, 2, tzinfo=UTC).timestamp() * 1000
    assert [(row["x"] - midnight) / 3_600_000 for row in rows] == [0.5, 1.5, 3.0]
    assert first < min(row["x"] for row in rows) <= max(row["x"] for row in rows) < last
    assert [row["tip"]["Table of"][-5:] for row in rows] == ["00:30", "23:30", "03:00"]


def test_the_band_is_what_did_not_matter(tmp_path: Path) -> None:
    for effect_pct in (5.0, 12.5):
        (section,) = shown(history(tmp_path / "h.json", effect_pct=effect_pct)).sections
        spec = section.charts[0].figures[0].spec
        assert f"within {effect_pct:g} %" in json.dumps(spec["marks"])
        assert spec["scales"][1]["domain"][1] == pytest.approx(1.15 * max(effect_pct, 8))


def test_a_calm_device_is_shown_and_what_turns_the_direction_of_text_is_escaped(tmp_path: Path) -> None:
    calm = history(tmp_path / "a.json", 1, events=[], aside="")
    nasty = history(tmp_path / "b.json", device=NASTY, events=[NASTY], aside="")
    first, second = shown(calm, nasty).sections
    assert first.lines == ("No table differs from those before it.",)
    assert first.about.endswith("1 tables, 2026-01-01 to 2026-01-01")
    assert "\u202e" not in second.title + second.lines[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nights": []}, r"h.json: history\[0\]: nights is empty"),
        ({"nights": [{"when": "soon"}]}, r"nights\[0\]: when is 'soon', expected a date"),
        ({"nights": [{"when": "2026-01-01", "era": -1}]}, r"nights\[0\]: era is -1"),
        ({"nights": "n"}, "nights is 'n', expected a list"),
        ({"events": "e"}, "events is 'e', expected a list"),
        ({"effect_pct": -1}, r"history\[0\]: effect_pct is -1, expected a number of per cent from"),
        ({"device": 3}, "device is 3, expected a text"),
    ],
)
def test_what_is_no_history_is_named(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        shown(history(tmp_path / "h.json", **changed))
