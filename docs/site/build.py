"""Builds the documentation site; any warning, broken link or missing heading is an error.

    python docs/site/build.py --out out/site        # then open out/site/site/index.html

Pages stay where they are in the repository and are readable there. This copies them, adds the reference, which is made
from the configs and docstrings, and builds everything with Zensical (the extra `docs`). The site loads nothing from
elsewhere and opens without a server.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]  # started from anywhere, without being installed

from check import faults  # noqa: E402
from pages import stage  # noqa: E402
from reference import write_reference  # noqa: E402

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class SiteError(Exception):
    """What is wrong with the pages, a line each."""


def build(out: Path, root: Path = ROOT, repository: str = "") -> Path:
    """Builds into `out`, which is emptied first; returns the folder of the site. SiteError lists what is wrong."""
    shutil.rmtree(out, ignore_errors=True)
    found = stage(root, out / "pages", repository)
    settings: dict[str, Any] = tomllib.loads((HERE / "zensical.toml").read_text(encoding="utf-8"))["project"]
    missing = {page.as_posix() for page in found} ^ set(leaves(settings["nav"]))
    if missing:
        raise SiteError(f"docs/site/zensical.toml: its contents and the pages differ by {', '.join(sorted(missing))}")
    (reference,) = [part["Reference"] for part in settings["nav"] if "Reference" in part]
    reference[:0] = write_reference(out / "pages")
    shutil.copyfile(HERE / "site.css", out / "pages" / "site.css")
    settings |= {"docs_dir": "pages", "site_dir": "site", "extra_css": ["site.css"]}
    if repository:
        settings["repo_url"] = repository
    config = out / "mkdocs.yml"  # JSON is YAML too
    config.write_text(json.dumps(settings, indent=1), encoding="utf-8", newline="\n")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", cwd=out, check=False)
    said = COLOUR.sub("", done.stdout + done.stderr)
    if done.returncode or "warning" in said.lower():
        raise SiteError(said.partition("Traceback")[0])
    if wrong := faults(out / "site"):
        raise SiteError("\n".join(wrong))
    return out / "site"


def leaves(nav: Any) -> list[str]:
    """The pages of the contents, in their order."""
    if isinstance(nav, str):
        return [nav]
    parts = nav if isinstance(nav, list) else nav.values()
    return [page for part in parts for page in leaves(part)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/site"), help="emptied first (default: out/site)")
    parser.add_argument("--repository", default="", help="such as https://github.com/OWNER/NAME: for links to code")
    options = parser.parse_args(argv)
    try:
        site = build(options.out.resolve(), repository=options.repository)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
