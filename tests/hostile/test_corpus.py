"""Whatever a file, an agent or a person says: it is read soundly, or refused in one line. Nothing else ever happens."""

import resource
import time
import warnings
from pathlib import Path

import pytest

from .corpus import cases
from .format import fault_of, refusal, write
from .formats import FORMATS
from .general import Case

ALL = list(cases())
SECONDS = 1.0  # of this thread's CPU
MEGABYTES = 500


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of every format, each of which its reader takes."""
    found = {}
    for name, form in FORMATS.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = form.files(folder)
        assert refusal(folder / form.name, form.read) is None, name
    return found


def test_there_are_enough_of_every_format() -> None:
    assert len(ALL) >= 400
    assert len({str(case) for case in ALL}) == len(ALL)
    assert {case.format for case in ALL} == set(FORMATS)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_it_is_refused_in_one_line_or_sound(case: Case, tmp_path: Path, sound: dict[str, dict[str, bytes]]) -> None:
    form = FORMATS[case.format]
    write(tmp_path, case.edit(sound[case.format]))
    memory, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused = refusal(tmp_path / form.name, form.read)
    assert time.thread_time() - seconds < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEGABYTES << 10
    assert refused is not None or not case.must, "it was believed"
    if refused is not None:
        assert fault_of(refused, tmp_path / form.name) is None, refused
