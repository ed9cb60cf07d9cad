from __future__ import annotations

import pytest

from amfac_edge.errors import InputError
from amfac_edge.people.budget import Budget


def test_without_limits_everybody_is_served() -> None:
    budget = Budget()
    budget.took(3, 900.0)
    assert budget.places(50, 10_000.0) == 50


def test_a_number_is_kept_to() -> None:
    assert [Budget(max_people=3).places(people, 0.0) for people in (0, 2, 3, 9)] == [0, 2, 3, 3]


def test_a_deadline_is_what_is_left_of_it_by_what_a_person_costs() -> None:
    budget = Budget(deadline_ms=100.0)
    assert budget.places(9, 50.0) == 9  # nobody knows yet
    budget.took(4, 80.0)
    assert [budget.places(9, spent) for spent in (0.0, 39.0, 59.0, 81.0, 500.0)] == [5, 3, 2, 1, 1]
    assert budget.places(0, 500.0) == 0
    assert Budget(max_people=2, deadline_ms=1e6).places(9, 0.0) == 2


def test_what_a_person_costs_follows_slowly() -> None:
    budget = Budget(deadline_ms=100.0)
    budget.took(1, 10.0)
    budget.took(1, 60.0)  # one slow frame: 10 + 0.2 * 50
    assert budget.places(9, 0.0) == 5
    budget.took(0, 999.0)
    assert budget.places(9, 0.0) == 5


@pytest.mark.parametrize("deadline", [0.0, -3.0, float("nan"), float("inf")])
def test_a_deadline_that_is_none_is_refused(deadline: float) -> None:
    with pytest.raises(InputError, match="is no time"):
        Budget(deadline_ms=deadline)
