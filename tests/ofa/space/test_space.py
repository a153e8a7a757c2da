"""Search spaces and sub-networks: counts, validation, canonical form, round trips."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.space import SearchSpace, get_space, make_divisible, resolutions_in
from ofa.space.mit_format import subnet_from_mit, subnet_from_net_config, subnet_from_text, subnet_to_mit

SPACES = ("mbv3-w1.0", "proxyless-w1.3", "resnet50d")


def random_genes(space: SearchSpace, seed: int, n: int = 20) -> np.ndarray:
    return space.sample(np.random.default_rng(seed), n)


def largest(resolution: int = 224) -> dict:
    return {
        "kernel_sizes": [7] * 20,
        "expand_ratios": [6] * 20,
        "depths": [4] * 5,
        "resolution": resolution,
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mbv3-w1.0", (9**2 + 9**3 + 9**4) ** 5),
        ("proxyless-w1.3", (9**2 + 9**3 + 9**4) ** 5 * 9),
        ("resnet50d", 2 * 3**6 * (3**2 + 3**3 + 3**4) ** 3 * (3**4 + 3**5 + 3**6)),
    ],
)
def test_counts_are_the_papers(name: str, count: int) -> None:
    assert get_space(name).count() == count
    assert get_space(name).count(resolutions=[224, 160, 160]) == get_space(name).count(resolutions=2) == 2 * count


def test_mobilenet_v3_has_2_176e19_subnetworks() -> None:
    assert f"{get_space('mbv3-w1.0').count():.3e}" == "2.176e+19"


def test_enumerating_a_small_space_gives_its_count() -> None:
    space = get_space("mbv3-w1.0")
    small = replace(space, units=space.units[:1])
    every = np.stack(np.meshgrid([224], *[np.arange(n) for n in small.cardinalities[1:]], indexing="ij"), -1)
    rows = small.as_genes(every.reshape(-1, small.num_genes))
    assert len(np.unique(rows, axis=0)) == small.count() == 9**2 + 9**3 + 9**4


def test_published_widths() -> None:
    # the channels in the net.config of MIT's specialised networks
    assert [u.out_channels[0] for u in get_space("mbv3-w1.2").units] == [32, 48, 96, 136, 192]
    assert (get_space("mbv3-w1.2").head.expand, get_space("mbv3-w1.2").head.mix) == (1152, 1536)
    assert [u.out_channels[0] for u in get_space("proxyless-w1.3").units] == [32, 56, 104, 128, 248, 416]


def test_make_divisible_never_loses_a_tenth() -> None:
    assert [make_divisible(v) for v in (3, 8, 11.9, 19.2, 90, 20)] == [8, 8, 16, 24, 88, 24]


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_values_and_json_round_trip(name: str, seed: int) -> None:
    space = get_space(name)
    genes = random_genes(space, seed, 5)
    subnets = space.decode(genes)
    assert np.array_equal(space.encode(subnets), genes)
    assert [space.subnet_from_dict(json.loads(json.dumps(s.to_dict()))) for s in subnets] == subnets
    assert len({*subnets}) == len(np.unique(genes, axis=0))


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_mit_format_round_trips(name: str, seed: int) -> None:
    space = get_space(name)
    for subnet in space.decode(random_genes(space, seed, 5)):
        assert subnet_from_mit(space, json.loads(json.dumps(subnet_to_mit(space, subnet)))) == subnet


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_genes_of_skipped_layers_make_no_difference(name: str, seed: int) -> None:
    space = get_space(name)
    genes = random_genes(space, seed, 5)
    noise = random_genes(space, seed + 1, 5)
    scribbled = genes.copy()
    dead = ~space.alive(genes)
    for field in ("kernel_sizes", "expand_ratios"):
        span = space.columns(field)
        if span.stop > span.start:
            scribbled[:, span] = np.where(dead, noise[:, span], genes[:, span])
    assert np.array_equal(space.as_genes(scribbled), genes)


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32 - 1))
def test_sampling_mutation_and_crossover_stay_in_the_space(name: str, seed: int) -> None:
    space = get_space(name)
    rng = np.random.default_rng(seed)
    first, second = space.sample(rng, 30), space.sample(rng, 30)
    for genes in (first, space.mutate(first, rng, 0.3, resolutions=[200, 201]), space.crossover(first, second, rng)):
        assert np.array_equal(space.as_genes(genes), genes)


@pytest.mark.parametrize("name", SPACES)
@given(resolutions=st.sets(st.integers(32, 1024), min_size=1), seed=st.integers(0, 2**32 - 1))
def test_any_resolutions_are_drawn_and_round_trip(name: str, resolutions: set[int], seed: int) -> None:
    space, rng = get_space(name), np.random.default_rng(seed)
    genes = space.sample(rng, 10, resolutions=resolutions)
    mutated = space.mutate(genes, rng, 0.5, resolutions=resolutions)
    for rows in (genes, mutated):
        subnets = space.decode(rows)
        assert {subnet.resolution for subnet in subnets} == set(rows[:, 0].tolist()) == {*resolutions_in(rows)}
        assert {*resolutions_in(rows)} <= resolutions
        assert np.array_equal(space.as_genes(subnets), rows)
        assert np.array_equal(space.as_genes(rows), rows)
        assert [space.subnet_from_dict(json.loads(json.dumps(s.to_dict()))) for s in subnets] == subnets


def test_every_one_of_993_resolutions_is_drawn() -> None:
    space, every = get_space("mbv3-w1.0"), range(32, 1025)
    genes = space.sample(np.random.default_rng(0), 20_000, resolutions=every)
    assert resolutions_in(genes) == tuple(every)
    assert space.count(resolutions=every) == 993 * space.count()


def test_resolutions_that_cannot_be_are_refused() -> None:
    space, rng = get_space("mbv3-w1.0"), np.random.default_rng(0)
    for resolutions, message in (([], "resolutions are empty"), ([160, 0], "resolution 0 is not within 32 to 1024")):
        with pytest.raises(InputError, match=message):
            space.sample(rng, 3, resolutions=resolutions)
        with pytest.raises(InputError, match=message):
            space.mutate(random_genes(space, 0), rng, resolutions=resolutions)
        with pytest.raises(InputError, match=message):
            space.count(resolutions=resolutions)


@pytest.mark.parametrize("name", SPACES)
def test_a_batch_of_several_chunks_is_one_draw(name: str) -> None:
    """Chunks keep memory small; what is drawn is what one draw of everything gives, and rows are canonical."""
    space, n = get_space(name), 140_000
    genes = space.sample(np.random.default_rng(5), n, resolutions=[160, 192, 224])
    choices = [3, *space.cardinalities[1:]]
    whole = np.random.default_rng(5).integers(0, choices, size=(n, space.num_genes))
    whole[:, 0] = np.array([160, 192, 224])[whole[:, 0]]
    assert np.array_equal(genes, space.as_genes(whole))


def test_sampling_takes_little_more_memory_than_its_result() -> None:
    space, n = get_space("mbv3-w1.0"), 400_000
    tracemalloc.start()
    genes = space.sample(np.random.default_rng(0), n)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert genes.nbytes == n * 46 * 2  # of ten million: 920 MB
    # the chunk that is being drawn: 8 bytes a gene of 65,536 rows, and what is alive of it
    assert peak - genes.nbytes < 65_536 * 46 * 8 * 1.5


def test_a_seed_repeats_and_another_does_not() -> None:
    space = get_space("mbv3-w1.0")
    assert np.array_equal(random_genes(space, 3), random_genes(space, 3))
    assert not np.array_equal(random_genes(space, 3), random_genes(space, 4))


def test_every_choice_is_drawn_equally_often() -> None:
    genes = get_space("mbv3-w1.0").sample(np.random.default_rng(0), 20_000, resolutions=[224, 128, 128])
    assert set(genes[:, 0].tolist()) == {128, 224}
    assert abs((genes[:, 0] == 224).mean() - 0.5) < 0.02
    assert np.allclose(np.bincount(genes[:, 1]) / 20_000, 1 / 3, atol=0.02)


@pytest.mark.parametrize("name", SPACES)
def test_each_row_leans_as_far_as_its_own_share_says(name: str) -> None:
    space, rng = get_space(name), np.random.default_rng(0)
    lean = rng.permutation(np.repeat([0.0, 0.25, 0.8, 1.0], 700))
    resolutions = rng.choice(np.array([160, 192, 224], dtype=np.uint16), len(lean))
    genes = space.sample_leaning(rng, lean, resolutions)
    assert np.array_equal(genes[:, 0], resolutions)
    assert np.array_equal(space.as_genes(genes), genes)
    assert not genes[lean == 0, 1:].any()
    assert (genes[lean == 1, 1:] == space.cardinalities[1:] - 1).all()
    # depths and widths are never of a skipped layer
    for field in ("depths", "width_mults"):
        columns, most = genes[:, space.columns(field)], space.cardinalities[space.columns(field)] - 1
        columns, most = columns[:, most > 0], most[most > 0]
        for share in (0.25, 0.8):
            assert np.allclose(columns[lean == share].mean(axis=0) / most, share, atol=0.06)


def test_mutation_redraws_the_asked_share_of_genes() -> None:
    space = get_space("mbv3-w1.0")
    # at full depth no gene is masked; a redrawn gene of 3 choices differs in 2 of 3 draws
    full = space.encode([space.subnet(**largest())] * 4000)
    kernels = space.columns("kernel_sizes")
    mutated = space.mutate(full, np.random.default_rng(0), 0.3, resolutions=[224])
    first_layers = mutated[:, kernels][:, ::4] != full[:, kernels][:, ::4]
    assert abs(first_layers.mean() - 0.3 * 2 / 3) < 0.01
    assert np.array_equal(space.mutate(full, np.random.default_rng(0), 0.0, resolutions=[224]), full)


def test_crossover_takes_every_gene_from_a_parent_and_some_units_whole() -> None:
    space = get_space("mbv3-w1.0")
    low = space.encode([space.subnet([3] * 20, [3] * 20, [4] * 5, 224)] * 500)
    high = space.encode([space.subnet(**largest())] * 500)
    children = space.crossover(low, high, np.random.default_rng(0))
    assert np.all((children == low) | (children == high))
    layers = space.columns("kernel_sizes")
    unit = children[:, layers].reshape(500, 5, 4)
    whole = np.all(unit == unit[:, :, :1], axis=2).all(axis=1).mean()
    assert 0.4 < whole < 0.65


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_sizes": [7] * 19}, "kernel_sizes has 19 values, expected 20 for mbv3-w1.0"),
        ({"kernel_sizes": [7] * 4 + [9] + [7] * 15}, r"kernel_sizes\[4\] is 9, expected one of 3, 5, 7"),
        ({"expand_ratios": [6, 5] + [6] * 18}, r"expand_ratios\[1\] is 5, expected one of 3, 4, 6"),
        ({"depths": [4, 4, 9, 4, 4]}, r"depths\[2\] is 9, expected one of 2, 3, 4"),
        ({"depths": [True, 4, 4, 4, 4]}, r"depths\[0\] is true"),
        ({"resolution": 1025}, "resolution 1025 is not within 32 to 1024 pixels"),
        ({"resolution": 31}, "resolution 31 is not within 32 to 1024 pixels"),
        ({"resolution": 160.5}, "resolution 160.5 is not a whole number of pixels"),
        ({"resolution": float("nan")}, "resolution nan is not a whole number"),
        ({"resolution": "160"}, "resolution '160' is not a whole number"),
        ({"resolution": True}, "resolution true is not a whole number"),
        ({"resolution": [160]}, r"resolution \[160\] is not a whole number"),
        ({"kernel_sizes": [0] + [7] * 19}, r"kernel_sizes\[0\] is 0, expected one of 3, 5, 7"),
        ({"kernel_sizes": "7" * 20}, "kernel_sizes is '7+', expected a list of 20"),
        ({"width_mults": [1.0]}, "width_mults has 1 values, expected 0"),
    ],
)
def test_wrong_fields_are_named(change: dict, message: str) -> None:
    space = get_space("mbv3-w1.0")
    with pytest.raises(InputError, match=message):
        space.subnet(**{**largest(), **change})


def test_a_subnetwork_of_another_space_is_refused() -> None:
    subnet = get_space("proxyless-w1.3").subnet([7] * 21, [6] * 21, [4] * 5 + [1], 224)
    with pytest.raises(InputError, match=r"depths has 6 values, expected 5 for mbv3-w1\.0"):
        get_space("mbv3-w1.0").as_genes(subnet)


def test_a_gene_matrix_out_of_range_is_refused() -> None:
    space = get_space("mbv3-w1.0")
    genes = random_genes(space, 0, 3)
    genes[1, 7] = 3
    with pytest.raises(InputError, match="gene column 7"):
        space.as_genes(genes)
    with pytest.raises(InputError, match=r"shape \(N, 46\)"):
        space.as_genes(genes[:, :-1])
    # no narrowing in silence: 65536 + 160 would be 160 in 16 bits, 256 + 1 would be 1 in 8
    for column, value, message in ((0, 65696, "resolution 65696"), (0, 3, "resolution 3"), (7, 257, "column 7"),
                                   (7, 65537, "column 7"), (7, -1, "column 7"), (0, -1, "resolution -1")):  # fmt: skip
        wide = random_genes(space, 0, 3).astype(np.int64)
        wide[1, column] = value
        with pytest.raises(InputError, match=message):
            space.as_genes(wide)


def test_skipped_layers_may_hold_anything_valid_and_read_zero() -> None:
    space = get_space("mbv3-w1.0")
    shallow = {**largest(), "depths": [2] * 5}
    with_zeros = {**shallow, "kernel_sizes": [7, 7, 0, 0] * 5, "expand_ratios": [6, 6, 0, 0] * 5}
    assert space.subnet(**shallow) == space.subnet(**with_zeros)
    assert space.subnet(**shallow).kernel_sizes == (7, 7, 0, 0) * 5


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mbv4-w1.0", {}),
        ("mbv3", {}),
        ("mbv3-w0.0", {}),
        ("mbv3-w1.0", {"width_mults": [1.0]}),
        ("mbv3-w1.0", {"num_classes": 0}),
        ("resnet50d", {"width_mults": [-1.0]}),
        ("resnet50d", {"width_mults": [i / 100 for i in range(1, 257)]}),  # more than a gene can tell apart
    ],
)
def test_unknown_spaces_are_refused(name: str, arguments: dict) -> None:
    with pytest.raises(InputError):
        get_space(name, **arguments)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ks": 7, "e": 6}, "d is missing"),
        ({"ks": 7, "e": 6, "d": 4, "q": 1}, r'unknown keys \["q"\]'),
        ({"ks": 7, "e": 5, "d": 4}, r"expand_ratios\[0\] is 5"),
        ({"ks": 7, "e": 6, "d": 4, "r": [160]}, "resolution is 224, but r is 160"),
    ],
)
def test_wrong_mit_dicts_are_named(config: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        subnet_from_mit(get_space("mbv3-w1.0"), config, resolution=224)


def test_mit_proxyless_depth_of_the_last_unit_is_clamped() -> None:
    space = get_space("proxyless-w1.3")
    five, six = ({"ks": 3, "e": 4, "d": d} for d in ([2, 3, 4, 2, 3], [2, 3, 4, 2, 3, 4]))
    assert subnet_from_mit(space, five, 224) == subnet_from_mit(space, six, 224)
    assert subnet_from_mit(space, five, 224).depths == (2, 3, 4, 2, 3, 1)


def test_mit_resnet_widths_are_indices_and_stem_depth_one_is_none() -> None:
    space = get_space("resnet50d")
    subnet = subnet_from_mit(space, {"e": 0.25, "d": [1, 0, 1, 2, 0], "w": [0, 1, 2, 2, 1, 0]}, 224)
    assert subnet.depths == (0, 0, 1, 2, 0)
    assert subnet.width_mults == (0.65, 0.8, 1.0, 1.0, 0.8, 0.65)


def test_a_net_config_that_fits_no_space_is_refused(reference: Path) -> None:
    path = next((reference / "networks" / "specialized").glob("note8*.json"))
    config = json.loads(path.read_text())
    config["blocks"][3]["mobile_inverted_conv"]["out_channels"] = 25
    with pytest.raises(InputError, match=r"no width of mbv3 .*25"):
        subnet_from_net_config(config, 224)
    with pytest.raises(InputError, match="name is 'VGG'"):
        subnet_from_net_config({"name": "VGG"}, 224)


USED = {"ks": [7, 3, 3, 5, 7, 3, 5, 5, 3, 3], "e": [3, 4, 6, 3, 4, 6, 3, 4, 6, 3], "d": [2, 2, 2, 2, 2]}


def spread(values: list[int]) -> list[int]:
    return [v for i in range(0, 10, 2) for v in (values[i], values[i + 1], 3, 3)]


@pytest.mark.parametrize(
    "config",
    [
        {**USED, "r": 192},
        {**USED, "image_size": 192},
        {**USED, "r": [192], "image_size": 192, "wid": None, "w": None},
        {**USED, "r": 192, "w": 1.2},
        {**USED, "r": 192, "w": [1.2, 1.2]},
        {"ks": spread(USED["ks"]), "e": spread(USED["e"]), "d": USED["d"], "r": 192},
        {"ks": tuple(USED["ks"]), "e": USED["e"], "d": USED["d"], "r": (192,)},
    ],
)
def test_what_is_in_circulation_is_one_sub_network(config: dict[str, Any]) -> None:
    space = get_space("mbv3-w1.2")
    wanted = space.subnet(spread(USED["ks"]), spread(USED["e"]), USED["d"], 192)
    assert subnet_from_mit(space, config) == wanted
    assert subnet_from_text(space, str(config)) == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": 1.0}, r"w is 1\.0, but mbv3-w1\.2 is of width 1\.2"),
        ({"w": "1.2"}, "w is '1.2', but mbv3-w1.2 is of width 1.2"),
        ({"image_size": 160}, "resolution is 192, but image_size is 160"),
        ({"r": "192"}, "r is '192', expected a resolution in pixels"),
        ({"r": True}, "r is true, expected a resolution in pixels"),
        ({"r": [160, 192]}, r"r is \[160, 192\], expected one resolution"),
        ({"r": 192.5}, "r is 192.5, expected a resolution"),
        ({"width": 1.2}, r'unknown keys \["width"\]'),
        ({"ks": USED["ks"][:9]}, "kernel_sizes has 9 values, expected 20"),
        ({"d": "22222"}, "depths"),
        ({"d": [[2], 2, 2, 2, 2]}, "depths"),
    ],
)
def test_what_contradicts_the_space_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        subnet_from_mit(get_space("mbv3-w1.2"), {**USED, "r": 192, **change})


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{'ks': [", "__import__('os')", "{" * 3000, "(" * 300 + ")" * 300, "x" * 5000]
)
def test_a_text_that_is_no_dict_is_refused_unevaluated(text: str) -> None:
    with pytest.raises(InputError, match="MIT sub-network: ") as refused:
        subnet_from_text(get_space("mbv3-w1.2"), text)
    assert len(str(refused.value)) < 200
