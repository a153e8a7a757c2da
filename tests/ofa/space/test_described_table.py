"""A table whose header describes its space: the description comes back out, and hints say which option takes it."""

import re
import shlex
from pathlib import Path

import pytest

from ofa.blocks import all_blocks, index
from ofa.errors import InputError
from ofa.space import SearchSpace, get_space
from ofa.space.description import space_sha256
from ofa.space.header_lines import spaces_header
from ofa.spaces.__main__ import main as show_space
from ofa.spaces.config import SpaceShowConfig
from ofa.tables import LatencyTable, TableRow

EXAMPLE = Path(__file__).parents[3] / "examples/mobilenet_v2.toml"


def table_of(folder: Path, spaces: list[SearchSpace], source: str) -> Path:
    """A table of their first blocks at 64 px; its name and folder are to be quoted."""
    facts = {"device": "D", "runtime": "none", "provenance": "measured", "source": source}
    rows = [TableRow(block, 1.0) for block in all_blocks(spaces[0], [64])[:3]]
    path = folder / "my tables" / "a b.csv"
    LatencyTable({**facts, **spaces_header(spaces)}, rows).save(path)
    return path


def hint(path: Path) -> str:
    index._index.cache_clear()  # of equal spaces, by whatever file, it keeps one
    table = LatencyTable.load(path)
    space = table.space("mobilenet_v2", 1000)
    with pytest.raises(InputError) as refused:
        table.lookup(space, [64]).require([64])
    return str(refused.value).partition("; ")[2]


def test_a_hint_never_guesses_the_file_of_a_description(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = get_space(str(EXAMPLE))
    measure = "measure them on the device, for this CPU: python -m profilers.cpu"
    rest = "--resolutions 64 --out measured.csv"
    monkeypatch.chdir(tmp_path)
    for source in ("somebody", "python -m profilers.cpu --space gone.toml"):
        path = table_of(tmp_path, [space], source)
        told = re.fullmatch(
            rf"{measure} {rest} --space FILE, where FILE describes mobilenet_v2 \((.*) prints that\)", hint(path)
        )
        assert told is not None, hint(path)
        words = shlex.split(told[1])
        assert words[:3] == ["python", "-m", "ofa.spaces"]
        capsys.readouterr()
        assert show_space(words[3:]) == 0
        (tmp_path / "again.toml").write_text(capsys.readouterr().out)
        assert space_sha256(get_space("again.toml")) == space_sha256(space)
    path = table_of(tmp_path, [space], "python -m profilers.cpu --space again.toml")
    assert hint(path) == f"{measure} --space again.toml {rest}"
    path = table_of(tmp_path, [space, get_space("mbv3-w1.0")], "somebody")
    assert hint(path) == f"{measure} {rest} --space FILE, where FILE describes mobilenet_v2"
    with pytest.raises(InputError, match=r"a b\.csv is of several spaces, mobilenet_v2, mbv3-w1\.0: show one by its"):
        show_space([str(path), "--toml"])


def test_a_table_s_space_is_shown_with_its_classes_or_as_many_as_are_asked_for(tmp_path: Path) -> None:
    for classes in (1000, 10):
        space = get_space(str(EXAMPLE), classes)
        table = LatencyTable.load(path := table_of(tmp_path, [space], "somebody"))
        LatencyTable(table.header, [TableRow(block, 1.0) for block in all_blocks(space, [64])]).save(path)
        assert SpaceShowConfig(space=str(path)).described().num_classes == classes
        assert SpaceShowConfig(space=str(path), num_classes=7).described().num_classes == 7
    assert SpaceShowConfig(space="mbv3-w1.0").described().num_classes == 1000


def test_a_file_with_a_space_in_its_name_is_quoted(tmp_path: Path) -> None:
    own = tmp_path / "my space.toml"
    own.write_text(EXAMPLE.read_text())
    path = table_of(tmp_path, [get_space(str(own))], "somebody")
    index._index.cache_clear()
    with pytest.raises(InputError, match=rf"--space '{own}' --resolutions 64"):
        LatencyTable.load(path).lookup(get_space(str(own)), [64]).require([64])
