"""Networks that are worth timing for a region of latency, and sources that are the target itself."""

from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks, blocks_of_all
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks, write_networks
from profilers.estimating import suggestion
from profilers.estimating.combination import beforehand, combine
from profilers.estimating.cost_model import more_terms_of, terms_of_networks
from profilers.estimating.sources import of_table, open_sources
from profilers.estimating.suggestion import Known, informative, within
from profilers.estimating.timed_networks import read_timed
from profilers.estimating.transfer_config import TransferConfig
from profilers.transfer import main

SPACE = get_space("mbv3-w1.0")
BLOCKS = all_blocks(SPACE, [128, 160, 192, 224])
WEIGHTS = np.array(
    [5e-8, 7e-8, 3e-7, 2.5e-7, 2e-7, 1e-7, 3e-7, 1e-6, 4e-7, 2e-7, 3e-3, 7e-8, 1e-7, 1e-4, 1e-9, *[1e-6] * 8]
)
HEADER = {"device": "D", "runtime": "r", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}


def device(seed: int) -> np.ndarray:
    return WEIGHTS * np.exp2(np.random.default_rng(seed).uniform(-1, 1, len(WEIGHTS)))


@pytest.fixture
def table(tmp_path: Path) -> str:
    latency = more_terms_of(BLOCKS) @ device(0)
    rows = [TableRow(block, float(f"{ms:.6g}")) for block, ms in zip(BLOCKS, latency, strict=True)]
    LatencyTable(HEADER, rows).save(tmp_path / "related.csv")
    return str(tmp_path / "related.csv")


def timed(path: Path, count: int, factor: float = 1.0, seed: int = 3) -> Path:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(seed), count, resolutions=[128, 160, 192, 224]))
    latency = factor * terms_of_networks(blocks_of_all(SPACE, subnets)) @ device(1)
    rows = [("mbv3-w1.0", s) for s in subnets]
    write_networks(path, {"device": "My phone"}, rows, {"latency_ms": [f"{ms:.6f}" for ms in latency]})
    return path


def test_chosen_networks_take_more_off_the_variance_of_their_region_than_any_exchange() -> None:
    genes = SPACE.sample(np.random.default_rng(0), 500, resolutions=[128, 160, 192, 224])
    terms = terms_of_networks(blocks_of_all(SPACE, genes))
    sources = np.stack([device(seed) for seed in range(4)])
    known = Known(*beforehand(sources, terms), 0.03)
    limit = float(np.quantile(terms @ known.weights_ms, 0.4))
    region = within(known, terms, [limit])
    relative = terms / (terms @ known.weights_ms)[:, None]

    def left(chosen: list[int]) -> float:
        """The mean variance in the region, by the inverse of the information: another way than one by one."""
        values, vectors = np.linalg.eigh(known.covariance / np.outer(*[np.sqrt(np.diag(known.covariance))] * 2))
        root = np.sqrt(np.diag(known.covariance))[:, None] * vectors * np.sqrt(np.maximum(values, 0))
        seen, there = relative[chosen] @ root, relative[region] @ root
        inverse = np.linalg.inv(np.eye(seen.shape[1]) + seen.T @ seen / 0.03**2)
        return float(np.einsum("ij,jk,ik->i", there, inverse, there).mean())

    first = informative(known, terms, region, 1)
    assert left(first) == pytest.approx(min(left([i]) for i in range(500)), rel=1e-6)
    chosen = informative(known, terms, region, 10)
    everywhere = informative(known, terms, np.ones(500, dtype=bool), 10)
    drawn = [left(np.random.default_rng(s).choice(500, 10, replace=False).tolist()) for s in range(50)]
    assert left(chosen) < min(*drawn, left(everywhere))
    assert len(set(chosen)) == 10


def test_networks_are_suggested_for_limits_and_beside_those_that_were_timed(table: str, tmp_path: Path) -> None:
    out = tmp_path / "n.csv"
    given = ["--suggest", "6", "--from", table, "--resolutions", "128:224:32", "--out", str(out), "--overwrite"]
    related = LatencyTable.load(table)
    latency = related.latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 2000, resolutions=[128, 160, 192, 224]))
    limit = float(np.quantile(latency, 0.3))
    chosen = []
    beside = ["--timed", str(timed(tmp_path / "t.csv", 8, factor=3.0))]
    for more in ([], ["--latency", f"{limit:g}"], beside, [*beside, "--latency", f"{3 * limit:g}"]):
        assert main([*given, *more]) == 0
        chosen.append([str(subnet) for _, subnet in read_networks_of(out)])
    assert all(len(set(networks)) == 6 for networks in chosen)
    assert len({tuple(networks) for networks in chosen}) == 4
    lists = ["--from", f"{table},note10", "--timed", str(tmp_path / "t.csv")]
    assert main([*given[:2], *lists, *given[4:]]) == 0


def test_what_was_timed_is_not_suggested_again(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestion, "CANDIDATES", 60)  # the same seed draws the same ones
    given = ["--from", table, "--resolutions", "128:224:32"]
    first, more = tmp_path / "first.csv", tmp_path / "more.csv"
    assert main(["--suggest", "4", *given, "--out", str(first)]) == 0
    networks = read_networks_of(first)
    latency = [f"{ms:.4f}" for ms in LatencyTable.load(table).latency_ms(SPACE, [subnet for _, subnet in networks])]
    write_networks(first, {"device": "My phone"}, networks, {"latency_ms": latency})
    assert main(["--suggest", "60", *given, "--timed", str(first), "--out", str(more)]) == 0
    beside = {str(subnet) for _, subnet in read_networks_of(more)}
    assert len(beside) == 56
    assert beside.isdisjoint(str(subnet) for _, subnet in networks)


def read_networks_of(path: Path) -> tuple:
    """Those of a file that has no latencies yet."""
    path.write_text("\n".join(line + "1" * line.startswith("network") for line in path.read_text().split("\n")))
    return read_networks(path).networks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--suggest", "3", "--latency", "9999", "--from", "T"],
            "0 of 2000 random networks are near --latency 9999",
        ),
        (["--suggest", "3", "--latency", "20"], "--latency with --suggest is of networks whose"),
        (["--suggest", "3", "--latency", "20", "--from", "all"], "--latency with --suggest is of networks whose"),
        (["--suggest", "3", "--latency", "-1"], "--latency is -1"),
        (["--networks", "N", "--latency", "20"], "--latency is for --suggest: how many networks"),
        (["--networks", "N", "--timed", "N"], "--timed is for --suggest: how many networks"),
        (
            ["--suggest", "3", "--timed", "S", "--latency", "20", "--from", "T"],
            r"s.csv: in milliseconds these latencies are .* shorter than on the fastest .*: are they in s",
        ),
        (["--suggest", "3", "--timed", "nowhere.csv", "--from", "T"], "nowhere.csv"),
        (["--suggest", "3", "--timed", "N", "--serial", "x", "--from", "T"], "leave out --serial and --host"),
    ],
)
def test_mistakes_are_named(table: str, tmp_path: Path, given: list[str], message: str) -> None:
    networks, seconds = str(timed(tmp_path / "t.csv", 4)), str(timed(tmp_path / "s.csv", 4, factor=1e-4))
    given = [{"T": table, "N": networks, "S": seconds}.get(word, word) for word in given]
    with pytest.raises(InputError, match=message):
        main([*given, "--out", str(tmp_path / "o.csv")])
    assert not (tmp_path / "o.csv").exists()


def test_a_copy_of_the_networks_times_a_factor_is_named(table: str, tmp_path: Path) -> None:
    own, copy, other = (
        timed(tmp_path / f"{name}.csv", 12, factor, seed)
        for name, factor, seed in (("own", 1.0, 3), ("copy", 2.5, 3), ("other", 2.5, 4))
    )
    given = ["--networks", str(own), "--resolutions", "160", "--unit", "ms", "--out", str(tmp_path / "o.csv")]
    for sources, words in (
        (f"{table},{copy}:latency_ms", "'copy.csv:latency_ms' has these networks' own latencies times 2.5: leave"),
        (f"{own.with_name('same.csv')}:latency_ms", "'same.csv:latency_ms' has these networks' own latencies: leave"),
    ):
        own.with_name("same.csv").write_bytes(own.read_bytes())
        assert main([*given, "--from", sources]) == 0
        named = LatencyTable.load(tmp_path / "o.csv")
        assert named.header["expected_error"].startswith(f"not known: {words}")
        assert named.uncertainty is None
    # other networks of the same device tell of it
    assert main([*given, "--from", f"{table},{other}:latency_ms"]) == 0
    assert LatencyTable.load(tmp_path / "o.csv").uncertainty is not None
    # as do the same networks of a device that is merely alike
    noisy = tmp_path / "noisy.csv"
    times = read_networks(own)
    rng = np.random.default_rng(0)
    alike = [f"{ms * rng.normal(2, 0.02):.6f}" for ms in times.latency_ms]
    write_networks(noisy, {"device": "E"}, times.networks, {"latency_ms": alike})
    assert main([*given, "--from", f"{table},{noisy}:latency_ms"]) == 0


def test_seconds_of_a_slow_device_are_asked_for_by_the_related_one(table: str, tmp_path: Path, capsys) -> None:
    slow = timed(tmp_path / "slow.csv", 9, factor=0.02)  # 20 times as slow, in seconds: fast, but not unheard of
    given = ["--networks", str(slow), "--from", table, "--resolutions", "160", "--out", str(tmp_path / "o.csv")]
    with pytest.raises(InputError, match=r"shorter than those of .*related.csv, the related device: are they in s"):
        main(given)
    assert main([*given, "--unit", "ms"]) == 0
    assert "were read as" not in capsys.readouterr().out
    near = timed(tmp_path / "near.csv", 9, factor=0.2)
    assert main(["--networks", str(near), *given[2:]]) == 0
    assert "latencies were read as milliseconds: 9 of mbv3-w1.0, 128 to 224 px" in capsys.readouterr().out


@pytest.mark.parametrize("several", [False, True])
def test_only_of_several_sources_none_need_be_like_the_target(table: str, tmp_path: Path, several: bool) -> None:
    """A device that --from names alone is said to be related: what is timed is not taken to be like nothing known."""
    own = timed(tmp_path / "t.csv", 12)
    networks = read_timed(own)
    config = TransferConfig(
        out=tmp_path / "o.csv", suggest=2, from_=f"{table},note10" if several else table, timed=own, unit="ms"
    )
    terms, source = terms_of_networks(networks.blocks), LatencyTable.load(table)
    known = suggestion._known(config, None if several else source, terms, networks)
    sources = open_sources(config.sources) if several else [of_table(table, source)]
    weights, constant = np.stack([each.weights_ms for each in sources]), np.eye(len(WEIGHTS))[-1:]
    of_related, of_any = (combine(weights, terms, networks.latency_ms, constant, related=r) for r in (True, False))
    assert of_any.own > 0 == of_related.own
    assert np.array_equal(known.weights_ms, (of_any if several else of_related).weights_ms)


def test_beforehand_a_combination_knows_less_than_after_ten_networks() -> None:
    genes = SPACE.sample(np.random.default_rng(0), 200, resolutions=[128, 224])
    terms = terms_of_networks(blocks_of_all(SPACE, genes))
    sources = np.stack([device(seed) for seed in range(4)])
    weights, covariance = beforehand(sources, terms)
    before = np.sqrt(np.einsum("ij,jk,ik->i", terms, covariance, terms)) / (terms @ weights)
    after = combine(sources, terms[:10], terms[:10] @ device(9), np.eye(len(WEIGHTS))[-1:]).relative_sd(terms)
    assert (after[10:] < before[10:]).all()
