"""Options for a budget, and which is recommended."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError
from amfac_edge.performance import Conditions, Measured
from amfac_edge.performance.choosing import Option, chosen, options_for, pareto_front, pareto_picture
from amfac_edge.performance.forecast import Forecast

NANO, MODEL = load_target("orin-nano"), load_recipe("amfacpose-r18-256x256")


def forecast(low: float, mid: float, high: float) -> Forecast:
    return Forecast("engine", "r", "orin-nano-8", "15W", "fp16", 1, low, mid, high, {"bandwidth": 1.0})


def option(recipe: str, ap: float | None, time: Forecast | Measured) -> Option:
    return Option(recipe, "fp16", "256x256", ap, 1, time)


def measured(ms: float) -> Measured:
    conditions = Conditions("p", "e", "p", 1, False, "a", "0", "r", "fp16", "1x1", 1, None, {})  # noqa: FBT003 - by place
    return Measured("engine", (ms,), conditions)


SLOW, QUICK, LOOSE = (
    option("slow", 76.0, forecast(15, 20, 30)),
    option("quick", 72.0, forecast(4, 5, 6)),
    option("loose", 74.0, forecast(5, 9, 13)),
)


def test_the_most_accurate_within_the_budget_is_chosen_and_said_to_be_sure_or_not() -> None:
    unsure = chosen([SLOW, QUICK, LOOSE], budget_ms=10)
    assert (unsure.option, unsure.sure, unsure.faster) == (LOOSE, False, QUICK)
    sure = chosen([SLOW, QUICK, LOOSE], budget_ms=14)
    assert (sure.option, sure.sure, sure.faster) == (LOOSE, True, None)
    assert chosen([SLOW, QUICK, LOOSE], budget_ms=1).option is None
    assert chosen([SLOW, QUICK, LOOSE], budget_ms=10, min_ap=75).option is None
    assert chosen([SLOW, QUICK, LOOSE], budget_ms=10, min_ap=73).faster is None


def test_of_equally_accurate_ones_the_sure_one_and_then_the_fastest_is_taken() -> None:
    other = option("other", 74.0, forecast(3, 6, 9))
    assert chosen([LOOSE, other], budget_ms=10).option == other


def test_a_measured_time_has_no_spread() -> None:
    known = option("known", 74.0, measured(9.9))
    choice = chosen([known, QUICK], budget_ms=10)
    assert (choice.option, choice.sure) == (known, True)
    assert known.measured
    assert known.as_json()["measured"] is True


def test_an_unknown_accuracy_is_never_recommended() -> None:
    own = option("own", None, forecast(1, 1, 1))
    assert chosen([own], budget_ms=10).option is None
    assert pareto_front([own, QUICK]) == (QUICK,)


def test_int8_is_offered_beside_and_chosen_only_where_nothing_else_is_within() -> None:
    int8 = dataclasses.replace(option("int8", 76.0, forecast(4, 5, 6)), precision="int8")
    both = chosen([QUICK, int8], budget_ms=10)
    assert (both.option, both.int8) == (QUICK, int8)
    alone = chosen([SLOW, int8], budget_ms=10)
    assert (alone.option, alone.sure, alone.int8) == (int8, True, None)
    worse = dataclasses.replace(int8, ap=70.0)
    assert chosen([QUICK, worse], budget_ms=10).int8 is None


def test_the_front_leaves_out_what_another_beats_twice() -> None:
    beaten = option("beaten", 71.0, forecast(5, 6, 7))
    assert pareto_front([SLOW, beaten, QUICK, LOOSE]) == (QUICK, LOOSE, SLOW)


def test_models_of_the_same_joints_are_compared_and_the_users_own_is_among_them() -> None:
    options = options_for(MODEL, NANO)
    names = {each.recipe for each in options}
    assert {"amfacpose-r34-384x288", "amfacpose-r34-256x256", MODEL.name} <= names
    assert not any("crowdpose" in name for name in names)
    assert {each.precision for each in options} == {"fp16", "int8"}
    assert not any(each.measured for each in options)
    untested = options_for(load_recipe("amfacpose-r18-128x128"), NANO)
    assert [each.ap for each in untested if each.recipe == "amfacpose-r18-128x128"] == [None, None]


def test_what_was_measured_is_not_forecast() -> None:
    options = options_for(MODEL, NANO, measured={(MODEL.name, "fp16"): measured(6.0)})
    (own,) = (each for each in options if each.measured)
    assert (own.recipe, own.precision, own.ms) == (MODEL.name, "fp16", 6.0)


def test_joints_that_no_other_model_has_are_an_error() -> None:
    with pytest.raises(InputError, match="no declared model"):
        options_for(dataclasses.replace(MODEL, skeleton="hand-21"), NANO)


def test_the_picture_shows_options_front_and_budget() -> None:
    pytest.importorskip("cv2")
    picture = pareto_picture([SLOW, QUICK, LOOSE, option("known", 75.0, measured(9.9))], budget_ms=10, title="a board")
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
