"""Command lines of jobs, parsed by their own commands before anything is begun."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from ofa.errors import InputError
from ofa.reading.numbers import cut
from profilers.lab.plan import Job


def check_words(where: str, job: Job) -> None:
    """InputError, which names the job, where its command does not take its words."""
    module, *words = job.words
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    command = importlib.import_module(f"{module}.__main__" if spec.submodule_search_locations is not None else module)
    try:
        with redirect_stdout(StringIO()):  # the help
            command.COMMAND.parse(_elsewhere(words))
    except SystemExit:
        raise InputError(f"{where}: args of {job.entry} are not those of {module}: --help") from None
    except InputError as error:
        raise InputError(f"{where}: args of {job.entry} are not those of {module}: {cut(error, 200)}") from None


def _elsewhere(words: Sequence[str]) -> list[str]:
    """Names that the lab gives lead into a job's folder: here it is looked at whether they could be written."""
    folder = tempfile.gettempdir()
    given = ("--out", "--table", "--config")
    return [
        str(Path(folder, word)) if before in given and not Path(word).is_absolute() else word
        for before, word in itertools.pairwise(["", *words])
    ]
