"""The page: a template, filled; drawings as JSON; the plotting library inside, so that nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ofa import __version__
from ofa.report.inputs.files import RunFiles
from ofa.report.inputs.values import plain
from ofa.report.sections.section import Headline, Section

TEMPLATES = Path(__file__).parent / "templates"
# what ends a script, or begins a comment, in HTML; and what ends a line in JavaScript
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
# draws every specification of the page in its place; expressions are interpreted, so that the page needs no eval
EMBED = """
for (const spec of document.querySelectorAll("script[type='application/json']")) {
  const how = {mode: "vega", renderer: "svg", actions: false, ast: true};
  vegaEmbed("#" + spec.id.slice(0, -5), JSON.parse(spec.textContent), how);
}
"""


@dataclass(frozen=True)
class MadeBy:
    """A command, and what it made."""

    what: str
    text: str


@dataclass(frozen=True)
class Page:
    """Everything that a report shows."""

    title: str
    when: datetime
    answers: Sequence[Headline]
    sections: Sequence[Section]
    commands: Sequence[MadeBy]
    files: RunFiles

    def html(self) -> str:
        """One file; a surrogate, as names of files may have, is escaped."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        specs = {figure.id: figure.spec for section in self.sections for figure in section.figures}
        text: str = environment.get_template("report.html.j2").render(
            title=self.title,
            when=f"{self.when.day} {self.when:%B %Y}",
            version=__version__,
            css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            bundle=javascript(),
            specs={id: as_script(spec) for id, spec in specs.items()},
            answers=self.answers,
            sections=self.sections,
            commands=self.commands,
            files=[plain(file.path) for file in self.files.read],
            left_out=[plain(left) for left in self.files.left_out],
        )
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_script(value: Mapping[str, Any]) -> str:
    """JSON that nothing in it can end before its element does."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "".join(_IN_SCRIPT.get(c, c) for c in text) if any(c in text for c in _IN_SCRIPT) else text


def javascript() -> str:
    """Vega and Vega-Embed, in one piece, with what draws the page."""
    import vl_convert

    code: str = vl_convert.javascript_bundle(EMBED)
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
