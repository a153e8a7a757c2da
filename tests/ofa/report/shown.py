"""The page of some runs, and what it found in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ofa.report.config import ReportConfig
from ofa.report.inputs.files import find_files
from ofa.report.inputs.searched import read_search
from ofa.report.page import Page
from ofa.report.parts.devices import DeviceFindings, devices_of
from ofa.report.run import page_of


def shown(*runs: object) -> Page:
    return page_of(ReportConfig(runs=tuple(map(str, runs))))


def findings(*files: Path) -> DeviceFindings:
    runs = [read_search(file) for file in find_files([str(file) for file in files]).read]
    (found,) = devices_of(runs, {}, [], [])
    return found


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
