"""Pages that are made and never written: the options of every command from its config, the API from its docstrings."""

from __future__ import annotations

import html
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import ofa
from ofa.cli.command import Command, docs_of
from ofa.cli.config import Bound, Config, Field, fields_of
from ofa.cli.overview import STEPS

Nav = list[dict[str, Any]]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# a line of a docstring that says what an argument or a field is
ARGUMENT = re.compile(r"[\w, ()`*-]{1,40}: \S")


def commands() -> dict[str, dict[str, Command[Any]]]:
    """{step: {name after `ofa`: the command}}, in the order of the overview."""
    found: dict[str, dict[str, Command[Any]]] = {}
    for step, entries in STEPS.items():
        found[step] = {}
        for entry in entries:
            spec = importlib.util.find_spec(entry.module)
            package = spec is not None and spec.submodule_search_locations is not None
            module = importlib.import_module(entry.module + ".__main__" if package else entry.module)
            several = getattr(module, "COMMANDS", None) or {"": module.COMMAND}
            found[step] |= {f"{entry.name} {name}".strip(): command for name, command in several.items()}
    return found


def write_reference(pages: Path) -> Nav:
    """Writes the pages below `pages`/reference; returns their part of the contents."""
    folder = pages / "reference"
    (folder / "commands").mkdir(parents=True, exist_ok=True)
    steps: Nav = []
    lines = ["# Commands", "", "`ofa NAME ...` and `python -m MODULE ...` are the same command.", ""]
    for step, found in commands().items():
        lines += [f"## {step}", "", "| command | | |", "|---|---|---|"]
        inside: Nav = []
        for name, command in found.items():
            file = f"{name.replace(' ', '-')}.md"
            (folder / "commands" / file).write_text(command_page(name, command), encoding="utf-8", newline="\n")
            inside.append({f"ofa {name}": f"reference/commands/{file}"})
            words = cell(prose(command.config).split("\n", 1)[0])
            lines.append(f"| [`ofa {name}`](commands/{file}) | `{command.program}` | {words} |")
        steps.append({step: inside})
        lines.append("")
    (folder / "commands.md").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    (folder / "api.md").write_text(api_page(), encoding="utf-8", newline="\n")
    schema = {"Tables' format": "reference/tables.md"}
    (folder / "tables.md").write_text(TABLES, encoding="utf-8", newline="\n")
    return [{"Commands": [{"All": "reference/commands.md"}, *steps]}, {"Python": "reference/api.md"}, schema]


TABLES = """# The format of a latency table

A table is a CSV with a header that says where it came from. The parts of its description:

- [header, columns and rows](../ARCHITECTURE.md#the-latency-table-schema-1): schema 1
- [how the latencies in it are measured](../docs/measuring.md)
- [the tables that are shipped](../latency_tables/README.md)
- [what an agent on a device speaks](../device_agents/PROTOCOL.md)
- [what may change in a later version](../docs/contributing/compatibility.md)
"""


def prose(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def cell(text: str) -> str:
    """Text within a row of a table, or a sentence: nothing in it is markup but `code`, and options are code."""
    pieces = []
    for place, part in enumerate(text.split("`")):
        if place % 2:
            pieces.append(f"`{part}`".replace("|", "\\|"))
        else:
            plain = html.escape(part, quote=False).replace("*", "\\*").replace("|", "\\|").replace("[", "\\[")
            pieces.append(OPTION.sub(r"`\g<0>`", plain))
    return "".join(pieces).replace("\n", " ")


def command_page(name: str, command: Command[Any]) -> str:
    lines = [f"# ofa {name}", "", documented(prose(command.config)), "", "```console"]
    lines += [f"$ ofa {name} {command.example}".rstrip(), "```", ""]
    lines += [f"The same: `{command.program}{several(name, command)} {command.example}`.", ""]
    docs = docs_of(command.config)
    panel = None
    for field in fields_of(command.config):
        if field.panel != panel:
            panel = field.panel
            lines += ["", f"## {panel}", "", "| option | value | default | |", "|---|---|---|---|"]
        words = cell(docs.get(field.name, "")) + bounds(field)
        lines.append(f"| `{field.flag}` | {value_of(field)} | {default_of(field)} | {words} |")
    config = command.config.__name__
    if config in dir(ofa):
        lines += ["", f"From Python: [`ofa.{config}`](../api.md#{config.lower()}), with the same fields.", ""]
    return "\n".join(lines) + "\n"


def several(name: str, command: Command[Any]) -> str:
    """The word that a program with several commands takes: its name's last."""
    module = command.module.removesuffix(".__main__")
    entry = next((e for entries in STEPS.values() for e in entries if e.module == module), None)
    return name.removeprefix(entry.name) if entry is not None else ""


def value_of(field: Field) -> str:
    kind = get_args(field.bare)[0] if get_origin(field.bare) is tuple else field.bare
    if field.bare is bool:
        return "a flag"
    more = " ..." if field.is_list else ""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind)) + more
    names = {int: "number", float: "number", Path: "path", str: "text"}
    return cell(f"`{field.option.metavar or names.get(kind, 'text')}`{more}")


def default_of(field: Field) -> str:
    if field.required:
        return "*needed*"
    value = field.default
    if value is None or value is False or value == ():
        return ""
    if isinstance(value, tuple):
        value = (" " if field.is_list else ",").join(map(str, value))
    return cell(f"`{value}`")


def bounds(field: Field) -> str:
    """What a mark expects, in its own words: those with which it refuses what is out of all bounds."""
    said = [mark.fault(float("-inf")) for mark in field.marks if isinstance(mark, Bound)]
    return "".join(f" ({cell(fault.removeprefix('expected '))})" for fault in said if fault)


# ---- the API


def api_page() -> str:
    lines = ["# Python", "", "Every public name of `import ofa`. Each is imported when it is first asked for.", ""]
    names = [name for name in dir(ofa) if name in ofa._HOMES]
    kinds = {name: getattr(ofa, name) for name in names}
    parts = {"Functions": is_function, "Classes": is_class, "Configs": is_config, "Values": is_value}
    for heading, wanted in parts.items():
        lines += [f"## {heading}", ""]
        for name in names:
            if wanted(kinds[name]):
                lines += [f"### {name}", "", *described(name, kinds[name]), ""]
    return "\n".join(lines)


def is_config(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Config)


def is_class(thing: Any) -> bool:
    return inspect.isclass(thing) and not is_config(thing)


def is_function(thing: Any) -> bool:
    return inspect.isfunction(thing)


def is_value(thing: Any) -> bool:
    return not inspect.isclass(thing) and not inspect.isfunction(thing)


def described(name: str, thing: Any) -> Iterator[str]:
    home = ofa._HOMES[name]
    if is_value(thing):
        yield f"`{home}.{name}` = `{thing!r}`"
        return
    if is_config(thing):
        pages = {c.config: n for found in commands().values() for n, c in found.items()}
        page = f"commands/{pages[thing].replace(' ', '-')}.md" if thing in pages else ""
        as_value = f"The options of [`ofa {pages.get(thing)}`]({page}) as a value (`{home}`)."
        yield as_value if page else documented(prose(thing))
        return
    yield from ("```python", f"{home}.{name}{signature(thing)}", "```", "", documented(prose(thing)))
    if inspect.isclass(thing):
        for member, value in members(thing):
            kind = "property" if isinstance(value, property) else ""
            function = getattr(value, "__func__", value)
            shown = "" if kind else re.sub(r"^\((?:self|cls)(?:, )?", "(", arguments(function))
            words = first_sentence(prose(value.fget if kind else function))
            yield from ("", f"- `{member}{shown}`" + (f": {cell(words)}" if words else ""))


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class of ours has, by their place in the code."""
    seen = set[str]()
    for owner in thing.__mro__:
        if owner.__module__.partition(".")[0] != "ofa":
            continue
        for name, value in vars(owner).items():
            callable_ = isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value)
            if callable_ and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, value


def arguments(thing: Any) -> str:
    """A signature on one line; empty where there is none to see."""
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return ""
    text = text.replace(str(ofa.RESOLUTIONS), "RESOLUTIONS")
    return re.sub(r"<factory>|<[^<>]* at 0x\w+>", "...", text).replace("'", "").replace('"', "")


def signature(thing: Any) -> str:
    """With an argument a line where it is long."""
    text = arguments(thing)
    if len(text) <= 70 or not (found := re.fullmatch(r"\((.*)\)( -> .*)?", text)):
        return text
    # commas within brackets are not between arguments
    parts = re.split(r", (?![^\[(]*[\])])", found[1])
    return "(\n" + "".join(f"    {part},\n" for part in parts) + ")" + (found[2] or "")


def first_sentence(text: str) -> str:
    return text.split("\n\n", 1)[0].replace("\n", " ")


def documented(text: str) -> str:
    """A docstring: paragraphs; lines such as `name: what it is` as a list; what is indented, as code."""
    done = []
    for part in re.split(r"\n\s*\n", text):
        lines = part.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            done.append("```text\n" + inspect.cleandoc("\n" + part) + "\n```")
        elif lines and names_something(lines[0]):
            done.append(as_list(lines))
        else:
            done.append(cell(part))
    return "\n\n".join(done)


def names_something(line: str) -> bool:
    return bool(ARGUMENT.match(line)) and len(line.split(": ")[0].split()) <= 3


def as_list(lines: list[str]) -> str:
    """Arguments as a list, up to a line that begins a sentence of its own; what follows is a paragraph."""
    items: list[str] = []
    for i, line in enumerate(lines):
        if names_something(line):
            items.append(line)
        elif line[0].isupper() and not items[-1].endswith((",", ";")):
            return as_text(items) + "\n\n" + cell(" ".join(lines[i:]))
        else:
            items[-1] += " " + line.strip()
    return as_text(items)


def as_text(items: list[str]) -> str:
    return "\n".join(f"- {cell(item)}" for item in items)
