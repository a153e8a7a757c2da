"""ARCHITECTURE.md draws the house as it is: every room is in the drawing, and every file that it names is there."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# two spaces where it is a room of a package; rooms that are drawn together; what is told of them
BEGIN = r"(?P<indent>(?:  )?)(?P<names>\w+(?:/|\.py)(?:,? \w+(?:/|\.py))*) +(?P<words>\S.*)"
PACKAGES = ("ofa", "profilers", "device_agents", "latency_tables")


def drawn(text: str) -> dict[str, str]:
    """{folder or module of the drawing: the words beside it}: "ofa", "ofa/space", "ofa/errors.py", ..."""
    (drawing,) = re.findall(r"## The house\n\n```\n(.*?)```", text, re.DOTALL)
    found: dict[str, str] = {}
    package, row = "", list[str]()
    for line in drawing.splitlines():
        if begins := re.match(BEGIN, line):
            names = [name.rstrip("/") for name in begins["names"].replace(",", "").split()]
            package = package if begins["indent"] else names[0]
            row = [f"{package}/{name}" if begins["indent"] else name for name in names]
            found |= dict.fromkeys(row, begins["words"])
        else:
            found |= {place: f"{found[place]} {line.strip()}" for place in row}
    return found


def faults(text: str, root: Path = ROOT) -> list[str]:
    """What the drawing and the house do not agree on."""
    found, parts = [], drawn(text)
    for place, words in parts.items():
        if not (root / place).exists():
            found.append(f"{place} is not there")
        row = [other for other, its in parts.items() if its == words]  # rooms that are drawn together
        named = re.findall(r"(?<![\w*/])\w+\.py\b", words)
        there = {path.name for room in row for path in (root / room).rglob("*.py")} | {*map(os.path.basename, row)}
        found += [f"{place} has no {name}" for name in named if name not in there]
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (root / package).rglob("*.py")} - {root / package}):
            first, *inner = folder.relative_to(root / package).parts
            words = parts.get(f"{package}/{first}") or parts[package]
            if f"{package}/{first}" not in parts and f"{first}/" not in words:
                found.append(f"{package}/{first} is not drawn")
            found += [f"{package}/{first}/{name} is not drawn" for name in inner if f"{name}/" not in words]
    return found


def test_the_drawing_is_of_this_house() -> None:
    assert faults((ROOT / "ARCHITECTURE.md").read_text()) == []


def test_planted_faults_are_found() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for old, new, fault in (
        ("slots.py", "slotz.py", "ofa/blocks has no slotz.py"),
        ("  graph/  ", "  grapf/  ", "ofa/graph is not drawn"),
        ("errors.py", "mistakes.py", "ofa/mistakes.py is not there"),
        ("exact/:", "strict/:", "ofa/search/exact is not drawn"),
    ):
        assert old in text
        assert fault in faults(text.replace(old, new))
