"""Spaces as descriptions: ours bit for bit, examples, and everything that is wrong with one, said at once."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import OPERATORS, blocks_of, slots_of
from ofa.blocks.costs import count_macs, count_params
from ofa.cli.run import run
from ofa.errors import InputError
from ofa.published.networks import PUBLISHED
from ofa.reading.problems import ManyProblems
from ofa.space import SearchSpace, get_space
from ofa.space.described import described_space
from ofa.space.description import describe, first_difference, require_same, space_sha256, to_toml
from ofa.space.header_lines import space_in, spaces_header
from ofa.space.unit_operators import UNIT_OPERATORS
from ofa.spaces.__main__ import main as show_space
from ofa.training.recipe import shrinking

EXAMPLES = Path(__file__).parents[3] / "examples"
SMALL = """\
name = "mine"
activation = "relu6"
expand_ratios = [3, 6]

[stem]
channels = 16

[[units]]
channels = 24
stride = 2
depths = [1, 2]

[[units]]
channels = 40
stride = 2
kernel_sizes = [3, 5]
depths = [2]
"""
# of the slots of spaces, by the code that knew three families (commit 00db92d)
BEFORE = {
    ("mbv3-w1.0", None): "bb58b1cf3ee47cee",
    ("mbv3-w0.35", None): "47a3b6f8bcb04aca",
    ("mbv3-w2.35", None): "3e3992b7ca995d58",
    ("proxyless-w1.3", None): "5e3308aa50668a32",
    ("proxyless-w0.05", None): "4aec61fb5d2b202b",
    ("resnet50d", None): "80c1e2303f0acc05",
    ("resnet50d", (0.8125, 0.5, 1.0)): "303bd5b32b47ae52",
    ("resnet50d", (1.3,)): "ad981cfcfb0fbefe",
}


def written(folder: Path, text: str) -> Path:
    path = folder / "my-space.toml"
    path.write_text(text)
    return path


def digest(space: SearchSpace) -> str:
    slots = [(slot.name, slot.columns, slot.halvings, list(map(str, slot.blocks))) for slot in slots_of(space)]
    return hashlib.sha256(json.dumps([slots, space.choices, space.family]).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("name", "widths"), BEFORE)
def test_ours_are_what_they_were_before_there_were_descriptions(name: str, widths: tuple[float, ...] | None) -> None:
    assert digest(get_space(name, 10, widths)) == BEFORE[name, widths]


@pytest.mark.parametrize(("name", "widths"), BEFORE)
def test_a_description_written_and_read_is_the_same(
    tmp_path: Path, name: str, widths: tuple[float, ...] | None
) -> None:
    space = get_space(name, 10, widths)
    again = described_space(describe(space), num_classes=10, any_name=True)
    text = to_toml(space).replace(f'"{name}"', '"mine"')
    own = get_space(str(written(tmp_path, text)), 10)
    for other in (again, own):
        assert slots_of(other) == slots_of(space)
        assert other.choices == space.choices
        assert space_sha256(other) == space_sha256(space)
    assert (own.name, own.source, own.argument) == ("mine", str(tmp_path / "my-space.toml"), own.source)


def test_the_hash_is_of_what_networks_are_made_of(tmp_path: Path) -> None:
    space = get_space(str(written(tmp_path, SMALL)))
    for change in (('"mine"', '"other"'), ("[stem]", "resolutions = [64, 96]\n[stem]"), ("[stem]", "# remark\n[stem]")):
        assert space_sha256(get_space(str(written(tmp_path, SMALL.replace(*change))))) == space_sha256(space)
    assert space_sha256(get_space(str(tmp_path / "my-space.toml"), 10)) == space_sha256(space)
    for change in (("= 40", "= 48"), ("relu6", "relu"), ("[3, 6]", "[3, 5]"), ("[2]", "[1, 2]"), ("16", "24")):
        assert space_sha256(get_space(str(written(tmp_path, SMALL.replace(*change))))) != space_sha256(space)


def test_every_unit_has_its_own_choices(tmp_path: Path) -> None:
    space = get_space(str(written(tmp_path, SMALL)), 10)
    assert space.choices[space.columns("kernel_sizes")] == ((3,), (3,), (3, 5), (3, 5))
    assert space.count() == (2 + 2**2) * 4**2
    subnet = space.subnet([3, 0, 5, 3], [6, 0, 3, 6], [1, 2], 64)
    assert [str(block) for block in blocks_of(space, subnet)] == [
        "conv 64x64x3>16 k3 s2 relu6",
        "mbconv 32x32x16>96>24 k3 s2 relu6",
        "mbconv 16x16x24>72>40 k5 s2 relu6",
        "mbconv 8x8x40>240>40 k3 s1 relu6 skip",
        "global_pool 8x8x40>40 k1 s1 none",
        "linear 1x1x40>10 k1 s1 none",
    ]
    with pytest.raises(InputError, match=r"kernel_sizes\[0\] is 5, expected one of 3 \(mine\)"):
        space.subnet([5, 0, 5, 3], [6, 0, 3, 6], [1, 2], 64)


def test_start_kernels_are_of_their_own_unit_and_layer(tmp_path: Path) -> None:
    first = 'stride = 2\noperator = "uib"\nstart_kernels = [3, 5]'
    text = SMALL.replace("stride = 2", first, 1) + "\n[[units]]\nchannels = 56\ndepths = [1]\n"
    space = get_space(str(written(tmp_path, text + 'operator = "uib"\nstart_kernels = [0, 5]\n')), 10)
    assert space.choices[space.columns("start_kernels")] == ((3, 5), (3, 5), (0,), (0,), (0, 5))
    subnet = space.subnet([3, 3, 5, 3, 3], [6, 6, 3, 6, 3], [1, 2, 1], 64, start_kernels=[5, 3, 0, 0, 5])
    assert subnet.start_kernels == (5, 0, 0, 0, 5), "that of the layer beyond the depth is 0"
    assert space.decode(space.as_genes([subnet])) == [subnet]
    assert [str(block) for block in blocks_of(space, subnet)][1:5] == [
        "uib5 32x32x16>96>24 k3 s2 relu6",
        "mbconv 16x16x24>72>40 k5 s2 relu6",
        "mbconv 8x8x40>240>40 k3 s1 relu6 skip",
        "uib5 8x8x40>120>56 k3 s1 relu6",
    ]


def test_the_largest_network_of_the_example_is_mobilenet_v2() -> None:
    space = get_space(str(EXAMPLES / "mobilenet_v2.toml"))
    largest = space.subnet((), [6] * 16, [2, 3, 4, 3, 3, 1], 224)
    assert list(blocks_of(space, largest)) == list(PUBLISHED["mobilenet_v2"].blocks(224))
    assert (count_params(space, largest), count_macs(space, largest)) == (3_504_872, 300_774_272)


def test_operators_of_units_are_those_of_blocks() -> None:
    for name, known in UNIT_OPERATORS.items():
        fixed = OPERATORS[name].fixed.get("squeeze_excite")
        assert OPERATORS[name].has_inside
        assert known.squeeze_excite == ((False, True) if fixed is None else (fixed,))


def test_all_that_is_wrong_is_said_at_once_with_line_key_and_what_is_allowed(tmp_path: Path) -> None:
    text = SMALL.replace("stride = 2", "stride = 3", 1).replace("depths = [2]", "depth = [2]")
    path = written(tmp_path, text.replace('"relu6"', '"gelu"').replace("[3, 5]", str(list(range(3, 303)))))
    with pytest.raises(ManyProblems) as raised:
        get_space(str(path))
    expected = [
        "2: activation is 'gelu', expected one of relu, relu6, h_swish, swish",
        "10: units[0].stride is 3, expected one of 1, 2",
        "13: units[1].depths is missing",
        "16: units[1].kernel_sizes has 300 choices, expected at most 255",
        "17: units[1].depth is unknown: did you mean depths?",
    ]
    assert str(raised.value) == f"{path}: 5 problems: line {'; line '.join(expected)}"
    assert raised.value.problems == tuple(f"{path}:{problem}" for problem in expected)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"mine"', '"../mine"', ":1: name is '../mine', expected up to 60 letters, digits, and . - _ between them"),
        ('"mine"', '"mbv3-w9"', ":1: name is 'mbv3-w9', which is a space of ours: choose another"),
        ('"mine"', '"a\\u001b[2J"', r":1: name is 'a\x1b[2J', expected up to 60 letters"),
        ("channels = 16", "", ":5: stem.channels is missing"),
        ("channels = 16", "channels = 0", ":6: stem.channels is 0, expected a whole number of channels from 1 to 8192"),
        ("[stem]", "widths = [0.5, 1]\n[stem]", "several widths are for units of bottleneck"),
        ("[stem]", "[first_block]\nchannels = 8\nskip = true\n[stem]", ":7: first_block.skip is true, but it has 8 "),
        ("depths = [2]", "depths = [2, 30]", "units[1] has 1.15e+18 configurations, expected at most 262,144"),
        (
            "[3, 6]",
            "[nan, 6, inf]",
            ":3: expand_ratios[0] is nan, expected a number of times from 0.05 to 16, and 1 ",
        ),
        ("[stem]\nchannels = 16", "[head]\nexpand = inf\n[stem]\nchannels = 16", ":6: head.expand is inf, expected a "),
        ("[stem]\nchannels = 16", "stem.channels = 0", ":5: stem.channels is 0, expected a whole number"),
        ("channels = 24", '"channels" = 0', ":9: units[0].channels is 0, expected a whole number of channels"),
        (
            "stride = 2",
            "stride = 2\nsqueeze_excite = [0, 1]",
            ".squeeze_excite is [0, 1], expected true or false,",
        ),
        (
            "stride = 2",
            "stride = 2\nsqueeze_excite = [true, true]",
            ".squeeze_excite is [true, true]: a choice is t",
        ),
        ("stride = 2", 'operator = "uib"\nsqueeze_excite = [false, true]', "[false, true], but uib has only false"),
        ("stride = 2", 'operator = "mbconv_se_in"\nsqueeze_excite = false', "has only true or [false, true]"),
        ("stride = 2", "stride = 2\nsqueeze_excite = 1", ":11: units[0].squeeze_excite is 1, expected true or false"),
        ("stride = 2", 'stride = 2\noperator = "uip"', ":11: units[0].operator is 'uip', expected one of mbconv, "),
        ("[[units]]", "[units]", "my-space.toml: not TOML: "),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = written(tmp_path, SMALL.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        get_space(str(path))
    assert fault in str(raised.value)
    assert str(raised.value).startswith(str(path))


def test_what_rests_on_several_keys_is_said_with_the_others(tmp_path: Path) -> None:
    """Of a unit without depths, in a space without a name, on images that it leaves nothing of."""
    unit = '[[units]]\noperator = "mbconv_se_in"\nsqueeze_excite = false\nstart_kernels = [3]\nkernel_sizes = [1]\n'
    small = SMALL.replace('name = "mine"', "resolutions = [32]") + "".join(
        f"\n[[units]]\nchannels = {'4o' if n else 40}\nstride = 2\n".replace("4o", '"4o"') for n in range(3)
    )
    with pytest.raises(ManyProblems) as raised:
        get_space(str(written(tmp_path, small.replace("[[units]]\n", unit, 1))))
    said = "\n".join(raised.value.problems)
    for words in (
        "name is missing",
        "units[0].squeeze_excite is false, but mbconv_se_in has only true or [false, true]",
        "units[0].start_kernels is [3], but mbconv_se_in has only 0",
        "units[0].kernel_sizes is [1], but mbconv_se_in has only 3, 5, 7",
        "units[2].depths is missing",
        "units[3].channels is '4o', expected a whole number",
        "units[4].stride is 2, but of an image of 32 px nothing is left after 6 halvings",
    ):
        assert words in said
    path = written(tmp_path, "#" * (1 << 20) + "\n")
    with pytest.raises(InputError, match=r"1\.0 MiB, more than a description ever has"):
        get_space(str(path))


def test_a_stage_that_shrinks_below_a_pixel_is_refused(tmp_path: Path) -> None:
    more = "\n[[units]]\nchannels = 40\nstride = 2\ndepths = [1]\n" * 3
    text = SMALL.replace("[stem]", "resolutions = [32, 64]\n[stem]") + more
    with pytest.raises(InputError, match=r":32: units\[4\]\.stride is 2, but of an image of 32 px nothing is left"):
        get_space(str(written(tmp_path, text)))
    assert get_space(str(written(tmp_path, text.replace("32, 64", "64")))).resolutions == (64,)


def test_a_message_of_many_problems_stays_one_line_and_the_command_shows_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SMALL + "".join(f"\n[[units]]\nchannels = {n}\nstride = 7\n" for n in range(1, 24))
    path = written(tmp_path, text)
    with pytest.raises(ManyProblems, match=r": 46 problems: .*; and \d+ more$") as raised:
        get_space(str(path))
    assert len(str(raised.value)) < 400 + len(str(path))
    assert len(raised.value.problems) == 46
    with pytest.raises(SystemExit, match="2"):
        run(lambda: show_space([str(path)]))
    assert capsys.readouterr().err.splitlines() == [f"error: {problem}" for problem in raised.value.problems]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf# \xe2\x80\xa8\r\n" + SMALL.replace('"mine"', '"?"').replace("\n", "\r\n").encode())
    with pytest.raises(InputError, match=r"mine\.toml:2: name is '\?'"):
        get_space(str(path))


def test_a_mismatch_is_refused_by_the_first_key_that_differs(tmp_path: Path) -> None:
    mine = get_space(str(written(tmp_path, SMALL)))
    other = described_space({**describe(mine), "batch_norm_epsilon": 1e-3}, "other")
    assert first_difference(mine, other) == ("batch_norm_epsilon", "1e-05", "0.001")
    with pytest.raises(InputError, match=re.escape("t.csv is of another mine: batch_norm_epsilon is 0.001 there, and")):
        require_same(mine, other, "t.csv")
    narrow = get_space(str(written(tmp_path, SMALL.replace("= 40", "= 32"))))
    assert first_difference(mine, narrow) == ("units[1].channels", "[40]", "[32]")
    plain = described_space(
        {key: v for key, v in describe(mine).items() if key != "units"} | {"units": describe(mine)["units"][:1]}
    )
    assert first_difference(mine, plain) == ("number of units", "2", "1")
    assert first_difference(mine, mine) is None


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("python -m profilers.cpu --space examples/mobilenet_v4.toml --out t.csv", "examples/mobilenet_v4.toml"),
        ("python -m profilers.cpu --space 'my files/v4.toml' --out t.csv", None),
        ("somebody --space \x1b[2J.toml", None),
        ("somebody", None),
    ],
)
def test_hints_name_the_file_that_a_table_was_made_with(command: str, told: str | None) -> None:
    space = get_space(str(EXAMPLES / "mobilenet_v4.toml"), 5)
    found = space_in({**spaces_header([space]), "source": command}, "t.csv", "mobilenet_v4", 5)
    assert (found, found.argument) == (space, told)


def test_progressive_shrinking_takes_what_the_space_has() -> None:
    def stages(file: str) -> list[str]:
        return [stage.name for stage in shrinking(get_space(str(EXAMPLES / file)))]

    assert stages("mobilenet_v2.toml") == ["largest", "depth2", "depth3", "expand2", "expand3"]
    assert stages("mnasnet.toml") == ["largest", "kernel", "depth2", "depth3", "expand2"]
    space = get_space(str(EXAMPLES / "mobilenet_v4.toml"))
    largest, kernel, *_ = shrinking(space)
    assert set(space.decode(largest.draw(space, np.random.default_rng(0), 20, [64]))[0].start_kernels) == {5}
    drawn = space.decode(kernel.draw(space, np.random.default_rng(0), 20, [64]))
    assert {k for subnet in drawn for k in subnet.start_kernels} == {0, 3, 5}
