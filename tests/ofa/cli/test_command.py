"""A command made from its config: what it takes, what it refuses and in which words, what its help says."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from ofa.cli.command import Command, choose
from ofa.cli.config import Above, AtLeast, Between, Config, Free, Input, Option, Output
from ofa.cli.options import CalibrationOptions, ImageOptions, Resolutions, SamplingOptions
from ofa.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Common(Config):
    PANEL: ClassVar[str] = "Common"

    seed: Annotated[int, AtLeast(0), Option(metavar="N")] = 0
    """of everything random"""

    workers: Annotated[int, AtLeast(0, "there is no such crowd"), Free()] = 0
    """processes"""


@dataclass(frozen=True, kw_only=True)
class Toy(Common):
    """Bake a cake.

    Slowly.
    """

    table: Annotated[tuple[str, ...], Option(metavar="T")]
    """which table (repeatable)"""

    latency: Annotated[tuple[float, ...], Above(0), Option(metavar="MS")] = ()
    """limits, ms"""

    hidden: tuple[int, ...] = (64, 32)
    """widths of the layers"""

    resolutions: Resolutions = None
    """such as 160,192"""

    share: Annotated[float, Between(0, 1, "a share")] = 0.5
    """of the cake"""

    kind: Literal["sponge", "cheese"] | None = None
    """of the cake"""

    quick: bool = False
    """half done"""

    random: Annotated[int | None, AtLeast(1)] = None
    """so many"""

    index: Annotated[int | None, AtLeast(0)] = None
    """only this one"""

    photos: Annotated[tuple[Path, ...], Input(), Option(metavar="FILE")] = ()
    """of the cake"""

    out: Annotated[Path, Free(), Option(metavar="DIR")] = Path("out/cake")
    """where it goes"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_most_one("random", "index", "quick")


COMMAND = Command("bakery", Toy, example="--table round --latency 15 20")


def parsed(text: str) -> Toy:
    return COMMAND.parse(text.split())


def test_every_kind_of_value() -> None:
    expected = Toy(
        table=("a", "b", "c"), latency=(15.0, 20.5), hidden=(8,), resolutions=(96, 128, 160), share=0.25, kind="sponge",
        random=3, out=Path("x"), seed=7, workers=2,
    )  # fmt: skip
    words = (
        "--table a b --latency 15 20.5 --hidden 8 --resolutions 128:160:32,96 --share=0.25 --kind sponge --random 3 "
        "--table c --out x --seed 7 --workers 2"
    )
    assert parsed(words) == expected
    assert parsed("--table a") == Toy(table=("a",))
    assert parsed("--quick --table a").quick


def test_a_repeated_list_extends_a_list_in_one_word_is_refused_and_of_others_the_last_counts() -> None:
    assert parsed("--table a --latency 15 --latency 20").latency == (15.0, 20.0)
    assert parsed("--table a --seed 1 --seed 2 --out x --out y") == Toy(table=("a",), seed=2, out=Path("y"))
    with pytest.raises(UsageError, match="--resolutions is given twice"):
        parsed("--table a --resolutions 128 --resolutions 160")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--table is needed"),
        ("--tabel a", "unknown option --tabel: did you mean --table?"),
        ("--share 0.5", "--table is needed"),
        ("--latency 3 --kind cheese", "--table is needed"),
        ("--table a --latncy 3", "Unknown option: --latncy. Did you mean --latency?"),
        ("--table", "--table needs at least one value"),
        ("--table a --latency", "--latency needs at least one value"),
        ("--table a --out", "--out needs a value"),
        ("--table a --seed 3.7", "--seed is '3.7', expected a whole number"),
        ("--table a --hidden 8 x", "--hidden is 'x', expected a whole number"),
        ("--table a --latency x", "--latency is 'x', expected a number"),
        ("--table a --seed -1", "--seed is -1, expected at least 0"),
        ("--table a --workers -1", "--workers is -1, expected at least 0: there is no such crowd"),
        ("--table a --latency 3 nan", "--latency is nan, expected a number above 0"),
        ("--table a --latency inf", "--latency is inf, expected a number above 0"),
        ("--table a --share 1.5", "--share is 1.5, expected a share from 0 to 1"),
        ("--table a --share nan", "--share is nan, expected a share from 0 to 1"),
        ("--table a --resolutions x", "--resolutions: 'x' is not a list such as 160,192,224 or 128:224:4"),
        ("--quick stray --table a", "unexpected 'stray': no option takes it"),
        ("--table a --random 1 --index 0", "--index is not allowed with --random: leave one out"),
        ("--table a --no-quick", "Unknown option: --no-quick. Did you mean --quick?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(words)
    assert str(raised.value) == message
    assert raised.value.exit_code == 2


def test_words_that_look_like_json_or_like_nothing_stay_words() -> None:
    assert parsed('--table [1,2] ["a"] {"b":1} none null').table == ("[1,2]", '["a"]', '{"b":1}', "none", "null")
    assert parsed('--table a --photos [1,2] ["a"]').photos == (Path("[1,2]"), Path('["a"]'))
    assert COMMAND.parse(["--table", "", "a b"]).table == ("", "a b")
    assert parsed("--table=-x --table=--quick").table == ("-x", "--quick")


def test_a_wrong_choice_is_told_the_right_ones() -> None:
    with pytest.raises(UsageError, match=r'"spnge" for --kind.*"sponge", "cheese".*Did you mean "sponge"'):
        parsed("--table a --kind spnge")


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    with pytest.raises(UsageError) as raised:
        COMMAND.parse(["--table", "a", "--seed", "\x1b[2J\n"])
    assert "\\x1b[2J\\n" in str(raised.value)
    with pytest.raises(UsageError) as raised:
        COMMAND.parse(["--table", "a", "--\x1b[2J"])
    assert str(raised.value).isprintable()


def test_no_bound_lets_infinity_or_not_a_number_through() -> None:
    for bound in (AtLeast(0), Above(0), Between(0, 1)):
        assert bound.fault(1) is None
        assert bound.fault(float("inf"))
        assert bound.fault(float("nan"))
        assert bound.fault(-1)
    assert (AtLeast(0).fault(0), Between(0, 1).fault(0)) == (None, None)
    assert Above(0).fault(0)


def test_from_python_the_same_bounds_hold_and_paths_and_lists_may_be_plain() -> None:
    assert Toy(table=["a"], out="x") == Toy(table=("a",), out=Path("x"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--seed is -1, expected at least 0"):
        Toy(table=("a",), seed=-1)
    with pytest.raises(InputError, match="--table is 'note10', expected a list"):
        Toy(table="note10")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--out is '', expected a name"):
        Toy(table=("a",), out="")  # type: ignore[arg-type]


def test_the_help_has_every_field_its_words_its_default_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text == COMMAND.help()
    assert text.startswith("Usage: python -m bakery --table T [OPTIONS]\n\nBake a cake.\n\nSlowly.\n")
    assert text.rstrip().endswith("example: python -m bakery --table round --latency 15 20")
    assert max(map(len, text.splitlines())) <= 120
    for line in (
        "--table T ", "which table (repeatable) [required]", "--latency MS ", "--seed N ", "[default: 0]",
        "[default: 64 32]", "[choices: sponge, cheese]", "[default: out/cake]", "─ Common ─", "--quick ",
    ):  # fmt: skip
        assert line in text
    assert text.index("─ Options ─") < text.index("--out") < text.index("─ Common ─") < text.index("--seed")


def test_shared_groups_stand_under_their_own_headings_and_a_subclass_may_say_a_field_again() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Judge(ImageOptions, CalibrationOptions, SamplingOptions):
        """Judge."""

        seed: Annotated[int, AtLeast(0), Option(metavar="N")] = 5
        """of the jury"""

    text = Command("judge", Judge, "--data photos").help()
    for heading in ("─ Images ─", "─ Calibration ─", "─ Sampling ─"):
        assert heading in text
    assert "of the jury [default: 5]" in text
    assert "of everything random" not in text
    assert text.index("─ Sampling ─") < text.index("of the jury")
    judge = Command("judge", Judge, "").parse(["--data", "photos", "--mean", "0.5,0.5,0.5", "--limit", "300"])
    assert (judge.data, judge.mean, judge.limit, judge.seed) == (Path("photos"), "0.5,0.5,0.5", 300, 5)
    assert isinstance(judge, ImageOptions)


@dataclass(frozen=True, kw_only=True)
class Oven(Config):
    heat: int = field(default_factory=lambda: 180)
    """degrees"""


@dataclass(frozen=True, kw_only=True)
class Fetch(Oven):
    """Fetch one."""

    id: Annotated[str, Option(positional=True)]
    """which"""


@dataclass(frozen=True, kw_only=True)
class List(Oven):
    """List all."""


@dataclass(frozen=True, kw_only=True)
class Copy(Config):
    source: Annotated[tuple[Path, ...], Input(), Option(metavar="FILE")]
    """what is read"""

    out: Annotated[Path, Output(), Option(metavar="FILE")]
    """what is written"""


def test_what_is_read_is_never_written_over_by_whatever_path(tmp_path: Path) -> None:
    command = Command("copier", Copy, example="--source a --out b")
    (tmp_path / "first.txt").write_text("first")
    (tmp_path / "read.txt").write_text("precious")
    (tmp_path / "link.txt").symlink_to("read.txt")
    (tmp_path / "hard.txt").hardlink_to(tmp_path / "read.txt")
    (tmp_path / "folder").mkdir()
    given = ["--source", str(tmp_path / "first.txt"), "--source", str(tmp_path / "read.txt"), "--out"]
    for out in ("read.txt", "folder/../read.txt", "link.txt", "hard.txt"):
        with pytest.raises(UsageError, match=r"--out is .*, the file that --source names: name another"):
            command.parse([*given, str(tmp_path / out)])
    assert command.parse([*given, str(tmp_path / "other.txt")]).out == tmp_path / "other.txt"
    missing = ["--source", str(tmp_path / "missing.txt"), "--out", str(tmp_path / "missing.txt")]
    assert command.parse(missing).source  # whoever reads it says so


def test_several_commands_share_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {"fetch": Command("oven fetch", Fetch, "cake"), "list": Command("oven list", List, "")}
    assert choose("oven", commands, ["fetch", "fetch"]) == Fetch(id="fetch")
    assert choose("oven", commands, ["--heat", "20", "list"]) == List(heat=20)
    assert choose("oven", commands, ["--heat=20", "fetch", "cake"]) == Fetch(id="cake", heat=20)
    for words, message in (
        ([], "no command, expected one of fetch, list"),
        (["lst"], "unknown command 'lst', expected one of fetch, list: did you mean list?"),
        (["fetch"], "ID is needed"),
        (["fetch", "a", "b"], "unexpected 'b'"),
        (["fetch", "--id", "a"], "Unknown option: --id"),
    ):
        with pytest.raises(UsageError, match=message):
            choose("oven", commands, words)
    with pytest.raises(SystemExit):
        choose("oven", commands, ["--help"])
    listed = capsys.readouterr().out
    assert "Usage: oven COMMAND" in listed
    assert "fetch      Fetch one." in listed


def test_a_wrong_option_ends_with_code_2_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ofa.search", "--tabel", "note10"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown option --tabel: did you mean --table?\n"


def test_a_required_option_that_looks_like_a_given_one_is_needed_all_the_same() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Board(Config):
        """Measure a board."""

        host: str
        """whose"""

        out: Annotated[Path, Free()]
        """where to"""

    board = Command("board", Board, "")
    for words in (["--host", "pi"], ["--host=pi"]):
        with pytest.raises(UsageError, match=r"^--out is needed$"):
            board.parse(words)


def test_a_list_may_take_a_word_at_a_time_and_leave_the_next_to_others() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Convert(Config):
        """Convert files."""

        files: Annotated[tuple[Path, ...], Input(), Option(positional=True)]
        """which"""

        space: Annotated[tuple[str, ...], Option(each=True)]
        """of what (repeatable)"""

        from_: str = "far"
        """where from"""

    convert = Command("convert", Convert, "")
    expected = Convert(files=(Path("a"), Path("b")), space=("s", "t"), from_="near")
    for words in ("a b --space s --space t --from near", "--space s --from=near --space t a b"):
        assert convert.parse(words.split()) == expected
    with pytest.raises(UsageError, match="FILES is needed"):
        convert.parse(["--space", "s"])


def test_from_python_a_choice_is_checked_too() -> None:
    with pytest.raises(UsageError, match="--kind is 'spnge', expected one of sponge, cheese"):
        Toy(table=("a",), kind="spnge")  # type: ignore[arg-type]


def test_a_file_that_begins_like_an_option_is_named_as_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-x.txt").touch()
    command = Command("copier", Copy, example="--source a --out b")
    with pytest.raises(UsageError, match=r"^-x\.txt is taken for an option: if the file is meant, write \./-x\.txt$"):
        command.parse(["--source", "-x.txt", "--out", "b"])
    with pytest.raises(UsageError, match=r"^--out is needed"):  # not that it needs a value: it is a file's name there
        command.parse(["--source", "a", "--", "--out", "b"])
