"""A report as a reader sees it, in a browser without a window: drawn, reached by keys, light and dark, at any width."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa.report.config import ReportConfig
from ofa.report.run import write_report
from tests.helpers.report_runs import NASTY, compared, evaluated, searched, trained, verified

from .browser import Browser, program

BROWSER = program()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a search, its verification, an evaluation with names that are HTML, a training and a table."""
    folder = tmp_path_factory.mktemp("report")
    run = searched(folder / "run")
    verified(run / "result.json")
    compared(run / "baselines.json", run / "result.json")
    others = (trained(folder / "supernet"), evaluated(folder / "evaluation.json", nasty=NASTY))
    runs = (str(run), *map(str, others), "note8")
    return write_report(ReportConfig(runs=runs, out=folder / "report.html")).path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert BROWSER is not None
    with Browser(BROWSER) as opened:
        yield opened


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_drawn_within_the_width_and_nothing_is_loaded(browser: Browser, report: Path, width: int) -> None:
    browser.open(report, width=width)
    assert browser.errors == []
    assert browser.requests == [report.resolve().as_uri()]
    assert browser.ask("document.querySelectorAll('.chart').length") == 7
    assert browser.ask("document.documentElement.scrollWidth") == width
    # no drawing is wider than its place, and each fills it
    places = browser.ask(
        "[...document.querySelectorAll('.chart')].map(e => [e.clientWidth, e.querySelector('svg').clientWidth])"
    )
    assert all(0.98 * place <= drawn <= place for place, drawn in places), places
    assert browser.ask("document.images.length") == 0  # a name is no image


def texts(browser: Browser, chart: str) -> list[str]:
    """The words of a drawing."""
    found: list[str] = browser.ask(
        f"[...document.querySelectorAll('#{chart} svg text')].map(e => e.textContent).filter(t => t)"
    )
    return found


def test_the_slider_moves_by_keys_and_all_follows(browser: Browser, report: Path) -> None:
    browser.open(report, width=1280)
    browser.ask("document.querySelector('#limit-1').focus()")
    result = json.loads((report.parent / "run" / "result.json").read_text())["results"]
    before = texts(browser, "readout-1")
    browser.press("Home", 36)
    browser.wait("document.querySelector('#limit-1').value === document.querySelector('#limit-1').min")
    fastest = min(result, key=lambda row: row["latency_ms"])
    top1, resolution = f"{fastest['predicted_top1']:.1f} %", f"{fastest['subnet']['resolution']} px"
    browser.wait(f"document.querySelector('#readout-1').textContent.includes('{top1}')")
    after = texts(browser, "readout-1")
    assert (before != after, resolution in after) == (True, True)
    kernels = [text for text in texts(browser, "network-1") if "×" in text and len(text) == 3]
    blocks = [k for k in fastest["subnet"]["kernel_sizes"] if k]
    # stem and first block before, the last convolution behind
    assert kernels == ["3×3", "3×3", *(f"{k}×{k}" for k in blocks), "1×1"]
    limit = browser.ask("document.querySelector('#limit-1').value")
    assert f"limit {float(limit):.4g} ms" in texts(browser, "frontier-1")


def test_a_click_on_a_network_chooses_it(browser: Browser, report: Path) -> None:
    browser.open(report, width=1280)
    browser.ask("document.querySelector('#frontier-1').scrollIntoView()")
    dot = browser.ask(
        "(() => { const r = document.querySelectorAll('#frontier-1 [aria-roledescription=\"symbol mark container\"]');"
        "const b = r[r.length - 1].firstChild.getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    before = browser.ask("document.querySelector('#limit-1').value")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=dot[0], y=dot[1], button="left", clickCount=1)
    browser.wait(f"document.querySelector('#limit-1').value !== '{before}'")
    browser.wait("document.querySelector('#vg-tooltip-element.visible')")
    tip = browser.ask("document.querySelector('#vg-tooltip-element').textContent")
    assert "Top-1, predicted" in tip
    shown = texts(browser, "readout-1")
    assert tip.partition("Top-1, predicted:")[2].strip()[:4] in " ".join(shown)


def test_it_turns_dark_with_the_reader_s_system(browser: Browser, report: Path) -> None:
    seen = {}
    for dark in (False, True):
        browser.open(report, width=390, dark=dark)
        seen[dark] = browser.ask(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('#network-1 svg text')).fill,"
            " getComputedStyle(document.querySelector('#frontier-1 svg .mark-line path')).stroke]"
        )
    light, dark_ = seen[False], seen[True]
    assert all(one != other for one, other in zip(light, dark_, strict=True))
    for colours in (light, dark_):  # WCAG AA: 4.5 for text, 3 for lines
        page, text, line = (luminance(colour) for colour in colours)
        assert contrast(page, text) >= 4.5
        assert contrast(page, line) >= 3


def luminance(colour: str) -> float:
    """Of "rgb(1, 2, 3)", as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_print_is_light_without_what_cannot_be_moved(browser: Browser, report: Path) -> None:
    browser.open(report, width=1280, dark=True, print_=True)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('.control')).display") == "none"
    tables = browser.ask("[...document.querySelectorAll('table')].map(e => e.scrollWidth <= document.body.scrollWidth)")
    assert all(tables)
