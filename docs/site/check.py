"""What is wrong with a built site: links and anchors that lead nowhere, and whatever it would load from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser fetches by itself, by tag
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src"}
FETCHING = ("stylesheet", "icon", "preconnect", "preload", "modulepreload", "prefetch", "dns-prefetch", "manifest")
ELSEWHERE = re.compile(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)")
# a list or table that Markdown took for the end of a paragraph
RUN_ON = re.compile(r"^(?:[-*] |\d+\. |\|.*\|$|```)", re.MULTILINE)


class Page(HTMLParser):
    """ids: of all elements; links: (href, whether the browser fetches it); paragraphs: their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.paragraphs: list[str] = []
        self._inside = self._code = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append((values["href"], False))
        if tag == "link" and set(values.get("rel", "").split()) & set(FETCHING):
            self.links.append((values.get("href", ""), True))
        if (name := LOADED.get(tag)) and name in values:
            self.links.append((values[name], True))
        if tag == "p":
            self._inside += 1
            self.paragraphs.append("")
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag == "p"
        self._code -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self._inside and not self._code:
            self.paragraphs[-1] += data


def faults(site: Path) -> list[str]:
    """One line for each, with the page; empty if there are none."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [f"{path.relative_to(site)}: {fault}" for path in pages for fault in page_faults(site, path, pages)]
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        found += [f"{sheet.relative_to(site)}: loads {address}" for address in ELSEWHERE.findall(text)]
    return found


def page_faults(site: Path, path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for href, fetched in pages[path].links:
        parts = urlsplit(href)
        if parts.scheme == "data" or (parts.scheme in ("http", "https", "mailto") and not fetched):
            continue
        if parts.scheme or parts.netloc:
            yield f"loads {href}"
            continue
        # 404.html is shown in place of any page, so its links begin at the site's root
        base = site if parts.path.startswith("/") else path.parent
        target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path.resolve()
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            yield f"{href} is not there"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            yield f"{href}: there is no such heading"
    yield from (f"a list or table needs an empty line before it: {p[:60]!r}" for p in run_on(pages[path]))


def run_on(page: Page) -> Iterator[str]:
    return (text for text in page.paragraphs if RUN_ON.search(text))
