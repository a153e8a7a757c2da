"""What comes after a table: a search of it, or what a search would lack."""

from __future__ import annotations

from pathlib import Path

from ofa.cli.console import spelled
from ofa.errors import InputError


def next_step(table: Path) -> str:
    """The line for the user. table: a file that was just written

    A search is only named as the next step where it would begin: it may lack a predictor of the space or of so many
    classes, or blocks, and says itself how one comes to them.
    """
    from ofa.search.config import SearchConfig
    from ofa.search.run import open_searches

    search = spelled("ofa.search", "--table", table)
    try:
        open_searches(SearchConfig(table=(str(table),)))
    except InputError as error:
        return f"before {search}: {error}"
    return f"next: {search}"
