"""When a child that ended is started again."""

import math

from deploy.local.supervisor import RestartPolicy

POLICY = RestartPolicy(young_s=5.0, young_deaths_max=3, pauses_s=(0.0, 0.2, 1.0))


def test_young_deaths_in_a_row_add_up_until_there_is_no_hope() -> None:
    deaths = 0
    hopeless = []
    for _ in range(3):
        deaths = POLICY.count(deaths, ran_s=4.9)
        hopeless.append(POLICY.is_hopeless(deaths))

    assert hopeless == [False, False, True]


def test_a_long_life_is_a_new_beginning() -> None:
    assert POLICY.count(2, ran_s=5.0) == 0


def test_a_child_that_was_never_ready_died_young() -> None:
    assert POLICY.count(1, ran_s=-math.inf) == 2


def test_pauses_grow_and_then_stay() -> None:
    assert [POLICY.pause_s(deaths) for deaths in range(5)] == [0.0, 0.2, 1.0, 1.0, 1.0]
