"""GCRA: a minute's worth at once, the rate in the long run, and nothing lost between two counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecosystem.buckets import WINDOW_S, Buckets, Limit


class Clock:
    """Seconds a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passed(buckets: Buckets, limits: list[Limit]) -> bool:
    verdict = buckets.take(limits)
    return verdict is not None and verdict.retry_after_s == 0


def test_a_minute_s_worth_passes_at_once_and_the_next_has_to_wait() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    limit = Limit("key:a", 10)
    assert [passed(buckets, [limit]) for _ in range(11)] == [True] * 10 + [False]
    refused = buckets.take([limit])
    assert refused is not None
    assert (refused.limit, refused.remaining) == (10, 0)
    assert abs(refused.retry_after_s - 6.0) < 0.01
    clock.now += refused.retry_after_s
    assert passed(buckets, [limit])
    assert not passed(buckets, [limit])


def test_headers_count_down() -> None:
    buckets = Buckets(Clock())
    verdicts = [buckets.take([Limit("key:a", 3)]) for _ in range(4)]
    shown = [verdict.headers() for verdict in verdicts if verdict is not None]
    assert [each["RateLimit-Remaining"] for each in shown] == ["2", "1", "0", "0"]
    assert {each["RateLimit-Limit"] for each in shown} == {"3"}
    assert [each["RateLimit-Reset"] for each in shown] == ["20", "40", "60", "60"]
    assert shown[0]["RateLimit-Policy"] == "3;w=60"


def test_a_refused_request_costs_nothing_anywhere() -> None:
    buckets = Buckets(Clock())
    narrow, wide = Limit("session:a", 1), Limit("key:k", 2)
    assert passed(buckets, [narrow, wide])
    assert not passed(buckets, [narrow, wide])
    assert passed(buckets, [wide]), "the refusal by the session took nothing from the key"
    assert not passed(buckets, [wide])


def test_zero_is_no_limit() -> None:
    buckets = Buckets(Clock())
    assert buckets.take([Limit("key:a", 0)]) is None
    assert buckets.take([]) is None
    assert not buckets.untold


def test_others_counts_make_a_bucket_fuller_and_never_emptier() -> None:
    buckets = Buckets(Clock())
    limit = Limit("key:a", 10)
    assert passed(buckets, [limit])
    buckets.untold.clear()
    buckets.hear(limit, 9 * limit.cost_s)  # ours and eight of somebody else's
    assert passed(buckets, [limit])
    assert not passed(buckets, [limit])
    buckets.hear(limit, 0.0)  # Redis was flushed
    assert not passed(buckets, [limit])


def test_what_is_untold_is_added_to_what_is_heard() -> None:
    buckets = Buckets(Clock())
    limit = Limit("key:a", 4)
    assert passed(buckets, [limit])
    buckets.hear(limit, 2 * limit.cost_s)  # two of others; ours is not among them yet
    assert passed(buckets, [limit])
    assert not passed(buckets, [limit])


@given(
    per_minute=st.integers(1, 500),
    pauses=st.lists(st.floats(0, 5, allow_nan=False, allow_infinity=False), min_size=1, max_size=300),
)
def test_in_any_minute_at_most_twice_the_limit_and_in_the_long_run_the_rate(
    per_minute: int, pauses: list[float]
) -> None:
    clock = Clock()
    buckets = Buckets(clock)
    began, admitted = clock.now, 0
    for pause in pauses:
        clock.now += pause
        admitted += passed(buckets, [Limit("key:a", per_minute)])
    allowed = per_minute + (clock.now - began) / WINDOW_S * per_minute
    assert admitted <= allowed + 1
    if sum(pauses) == 0:
        assert admitted == min(len(pauses), per_minute)
