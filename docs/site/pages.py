"""The pages of the repository, copied for the site: same places, so that relative links stay as they are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("docs", "device_agents", "benchmarks", "latency_tables", "ofa")
PICTURES = {".png", ".svg", ".jpg", ".webp"}
LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def pages_of(root: Path) -> list[Path]:
    """Every page of the repository, relative to its root."""
    found = [*root.glob("*.md"), *(page for folder in FOLDERS for page in (root / folder).rglob("*.md"))]
    return sorted(page.relative_to(root) for page in found)


def stage(root: Path, pages: Path, repository: str = "") -> list[Path]:
    """Copies all pages and their pictures to `pages`.

    repository: its address; links to what is no page lead there. Without it they become the words that they had.
    """
    found = pages_of(root)
    for page in found:
        target = pages / page
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (root / page).read_text(encoding="utf-8")
        target.write_text(for_the_site(text, root, root / page, repository), encoding="utf-8", newline="\n")
    for picture in pictures_of(root):
        (pages / picture.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / picture, pages / picture)
    return found


def pictures_of(root: Path) -> Iterator[Path]:
    for path in sorted((root / "docs").rglob("*")):
        if path.suffix in PICTURES:
            yield path.relative_to(root)


def for_the_site(text: str, root: Path, page: Path, repository: str) -> str:
    """A page's text as the site's Markdown wants it; code is left alone."""

    def linked(match: re.Match[str]) -> str:
        target = match["target"]
        path = (page.parent / target).resolve()
        if "://" in target or not path.exists() or path.suffix == ".md" or path.suffix in PICTURES:
            return match[0]
        if not repository:
            return match["words"]
        kind = "tree" if path.is_dir() else "blob"
        return f"[{match['words']}]({repository}/{kind}/main/{path.relative_to(root).as_posix()})"

    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            # within a numbered item, three spaces are enough on GitHub
            line = re.sub(r"^   (?=\S)", "    ", line)
            line = LINK.sub(linked, line)
        lines.append(line)
    return "\n".join(lines) + "\n"
