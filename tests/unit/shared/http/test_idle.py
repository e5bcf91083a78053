"""The idle pool's order: last used first for reuse, first used first for closing."""

import pytest

from shared.http.connection import Connection
from shared.http.exchange import Exchange
from shared.http.idle import IdlePool
from tests.unit.shared.http.kit import post
from tests.unit.shared.http.test_connection import NotingOwner

A, B = "http://127.0.0.1:80", "http://127.0.0.2:80"


def idle_connection(origin: str) -> Connection:
    exchange = Exchange(post(origin + "/"), lambda _: None, 0.0)
    connection = Connection(NotingOwner(), exchange, "127.0.0.1", lambda: 1.0)
    connection.usable = True
    return connection


@pytest.fixture
def pool() -> IdlePool:
    return IdlePool(idle_max=3)


def test_the_connection_that_was_used_last_is_used_next(pool: IdlePool) -> None:
    older, newer = idle_connection(A), idle_connection(A)
    pool.put(older, 1.0)
    pool.put(newer, 2.0)

    assert [pool.take(A), pool.take(A), pool.take(A)] == [newer, older, None]
    assert len(pool) == 0


def test_an_origin_has_its_own_connections(pool: IdlePool) -> None:
    pool.put(idle_connection(A), 1.0)

    assert pool.take(B) is None
    assert len(pool) == 1


def test_a_connection_that_can_no_longer_be_used_is_passed_over(pool: IdlePool) -> None:
    good, dying = idle_connection(A), idle_connection(A)
    pool.put(good, 1.0)
    pool.put(dying, 2.0)
    dying.usable = False

    assert [pool.take(A), pool.take(A)] == [good, None]


def test_the_oldest_of_all_origins_is_the_one_too_many(pool: IdlePool) -> None:
    first, second, third, fourth = (idle_connection(origin) for origin in (A, B, A, B))

    too_many = [pool.put(c, now) for now, c in enumerate((first, second, third, fourth))]

    assert too_many == [None, None, None, first]
    assert pool.oldest_released_at() == 1
    assert pool.pop_oldest() is second
    assert [pool.take(A), pool.take(B)] == [third, fourth]
    assert pool.pop_oldest() is None
    assert pool.oldest_released_at() is None


def test_using_a_connection_makes_it_young_again(pool: IdlePool) -> None:
    first, second = idle_connection(A), idle_connection(B)
    pool.put(first, 1.0)
    pool.put(second, 2.0)
    assert pool.take(A) is first
    pool.put(first, 3.0)

    assert pool.pop_oldest() is second


def test_a_closed_connection_is_discarded_whether_it_is_idle_or_not(pool: IdlePool) -> None:
    first, second = idle_connection(A), idle_connection(A)
    pool.put(first, 1.0)
    pool.put(second, 2.0)
    pool.discard(first)
    pool.discard(first)

    assert len(pool) == 1
    assert [pool.take(A), pool.take(A)] == [second, None]
