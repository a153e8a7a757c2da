"""Evolution under limits, on objectives whose best networks are known."""

import numpy as np
import pytest

from ofa.blocks import block_index
from ofa.blocks.costs import block_macs, block_params
from ofa.blocks.extremes import cheapest
from ofa.search.evolution import Evaluator, EvolutionSettings, Population, Problem, evolve
from ofa.space import get_space

SPACE = get_space("mbv3-w1.0")
INDEX = block_index(SPACE, [160, 192, 224])
MACS = np.array([block_macs(block) for block in INDEX.blocks], dtype=np.float64)
PARAMS = np.array([block_params(block) for block in INDEX.blocks], dtype=np.float64)
QUICK = EvolutionSettings(population=100, children=300, generations=8, finalists=4)


def problem(*costs: np.ndarray) -> Problem:
    """More MACs are better, so that the best network under a limit on MACs just meets it."""
    return Problem(INDEX, lambda genes: INDEX.total(genes, MACS), np.stack(costs))


def run(task: Problem, limits: list[list[float]], seed: int = 0, settings: EvolutionSettings = QUICK) -> list:
    return evolve(task, np.array(limits), np.random.default_rng(seed), settings)[0]


def test_the_limit_is_met_and_used_up() -> None:
    for limit in (100e6, 200e6, 400e6):
        (found,) = run(problem(MACS), [[limit]])
        assert 0.9999 * limit < found.score <= limit
        assert INDEX.total(found.genes[None], MACS)[0] == found.score == found.costs[0]


def test_every_limit_of_a_row_is_met() -> None:
    (found,) = run(problem(MACS, PARAMS), [[300e6, 4.5e6]])
    assert found.costs[0] <= 300e6
    assert found.costs[1] <= 4.5e6
    assert found.costs[1] == INDEX.total(found.genes[None], PARAMS)[0]


def test_a_separable_objective_is_solved_exactly() -> None:
    # accuracy that adds up over blocks, no limit that binds: the exact answer is known by elimination
    worth = np.random.default_rng(5).random(len(INDEX.blocks))
    _, negated = cheapest(INDEX, -worth)
    task = Problem(INDEX, lambda genes: INDEX.total(genes, worth), MACS[None])
    (found,) = evolve(task, np.array([[1e12]]), np.random.default_rng(0), EvolutionSettings())[0]
    assert found.score == pytest.approx(-negated, rel=5e-3)


def test_one_seed_gives_one_answer_bit_for_bit() -> None:
    # so rugged that another seed ends elsewhere
    worth = np.random.default_rng(5).random((2, len(INDEX.blocks)))
    task = Problem(INDEX, lambda g: INDEX.total(g, worth[0]) * INDEX.total(g, worth[1]), MACS[None])
    first, again, other = (run(task, [[200e6], [300e6]], seed) for seed in (7, 7, 8))
    assert [f.genes.tolist() for f in first] == [f.genes.tolist() for f in again]
    assert [f.score for f in first] == [f.score for f in again]
    assert [f.genes.tolist() for f in first] != [f.genes.tolist() for f in other]


def test_a_limit_that_only_the_cheapest_meets_finds_it() -> None:
    genes, least = cheapest(INDEX, MACS)
    found, none = run(problem(MACS), [[least], [least - 1]])
    assert np.array_equal(found.genes, genes[0])
    assert none is None


def test_a_looser_limit_is_never_worse() -> None:
    scores = [found.score for found in run(problem(PARAMS), [[3.5e6], [4e6], [5e6], [6e6]])]
    assert scores == sorted(scores)


def test_no_network_is_asked_twice() -> None:
    asked: list[bytes] = []

    def score(genes: np.ndarray) -> np.ndarray:
        asked.extend(row.tobytes() for row in genes)
        return INDEX.total(genes, MACS)

    task = Problem(INDEX, score, PARAMS[None])
    settings = EvolutionSettings(population=100, children=300, generations=8, exchange_rounds=0)
    _, count = evolve(task, np.array([[4.5e6], [5e6]]), np.random.default_rng(0), settings)
    assert len(asked) == len(set(asked)) == count
    assert count > 1000


def test_a_population_holds_different_networks_best_first() -> None:
    population = Population(np.array([1e12]), SPACE.num_genes)
    task = problem(MACS)
    evaluator = Evaluator(task, [population], 50)
    genes = SPACE.sample(np.random.default_rng(0), 200, resolutions=INDEX.resolutions)
    doubled = np.concatenate([genes, genes])
    for _ in range(2):
        evaluator.ask_new(doubled, task.totals(doubled), population.limit)
    assert evaluator.count == 200
    assert len(np.unique(population.genes, axis=0)) == 50
    assert population.scores.tolist() == sorted(task.totals(genes)[:, 0], reverse=True)[:50]


@pytest.mark.parametrize("change", [{"population": 0}, {"children": 0}, {"mutation": 1.5}, {"mutants": -0.1}])
def test_impossible_settings_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        EvolutionSettings(**change)
