"""What found networks gain over a published one, by hand."""

import math

import pytest

from profilers.published.advantage import Advantage, Point, advantage, frontier_of

FASTEST, MIDDLE, SLOWEST = Point(2.0, 0.03, 70.0), Point(4.0, 0.01, 74.0), Point(16.0, 0.04, 76.0)
FRONTIER = [FASTEST, MIDDLE, SLOWEST]


def test_beaten_networks_are_no_part_of_the_frontier() -> None:
    beaten = [Point(5.0, 0, 73.0), Point(2.0, 0, 69.0), Point(16.0, 0, 76.0)]
    assert frontier_of([*beaten[:2], SLOWEST, beaten[2], FASTEST, MIDDLE]) == FRONTIER


@pytest.mark.parametrize(
    ("published", "faster", "better"),
    [
        (Point(4.0, 0, 74.0), 1.0, 0.0),  # a found network's twin
        (Point(8.0, 0, 75.0), 1.0, 0.0),  # on the line: half of the way in accuracy, half in the logarithm
        (Point(12.0, 0, 75.0), 1.5, 75 + math.log2(1.5) - 75),
        (Point(4.0, 0, 75.0), 0.5, -1.0),  # better than any found one
    ],
)
def test_between_found_networks_it_is_a_line_over_log_latency(published: Point, faster: float, better: float) -> None:
    gain = advantage(FRONTIER, published)
    assert (gain.times_faster, gain.points_better) == (pytest.approx(faster), pytest.approx(better))
    assert not gain.at_least_faster and not gain.at_least_better


def test_beyond_its_ends_only_the_network_at_the_end_is_compared() -> None:
    # less accurate than any: the fastest found one is faster and better
    assert advantage(FRONTIER, Point(3.0, 0, 60.0)).times_faster == pytest.approx(1.5)
    assert advantage(FRONTIER, Point(3.0, 0, 60.0)).at_least_faster
    # and faster than any: nothing is known
    assert advantage(FRONTIER, Point(1.0, 0, 60.0)) == Advantage(None, None, None)
    # slower than any: the slowest found one is faster and better
    slow = advantage(FRONTIER, Point(32.0, 0, 75.0))
    assert (slow.times_faster, slow.points_better, slow.at_least_better) == (pytest.approx(4.0), 1.0, True)
    # more accurate than any, and slower
    assert advantage(FRONTIER, Point(32.0, 0, 80.0)) == Advantage(None, None, None)
    # more accurate than any, and as fast as some: how much worse the found ones are is known
    assert advantage(FRONTIER, Point(4.0, 0, 80.0)) == Advantage(None, None, -6.0)


def test_errors_of_both_latencies_count() -> None:
    assert advantage(FRONTIER, Point(8.0, 0.01, 74.0)).times_error == pytest.approx(2 * math.hypot(0.01, 0.01))
    assert advantage(FRONTIER, Point(8.0, math.nan, 74.0)).to_dict()["times_faster_error"] is None
