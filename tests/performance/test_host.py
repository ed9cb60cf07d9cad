"""The work around the network, with a session that costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.performance import Conditions, HostCost, Limits, Measured, measure_host
from amfac_edge.performance.host import ConstantSession
from amfac_edge.performance.measuring import people_boxes, still_frame
from amfac_edge.runtime import PoseEstimator

RECIPE = "amfacpose-r18-256x256"


def test_the_constant_session_puts_joints_in_the_middle_of_the_box() -> None:
    boxes = people_boxes(40, 480, 640)
    with PoseEstimator.over(ConstantSession(load_recipe(RECIPE), 40)) as estimator:
        poses = estimator(still_frame(480, 640), boxes)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    # float32 at 640 is exact to 6e-5; the crop's middle is the box's by the crop rule.
    np.testing.assert_allclose(poses.keypoints, np.repeat(middles[:, None], 17, axis=1), atol=1e-3)
    assert (poses.scores == 1).all()


def test_host_costs_are_whole_frames_with_the_warps_beside_them() -> None:
    cost = measure_host(RECIPE, frame=still_frame(240, 320), people=2, limits=Limits(iterations=20, warmup=2))
    assert len(cost.measured.samples_ms) == len(cost.warp_ms) == 20
    assert cost.measured.conditions.people == 2
    assert cost.measured.conditions.recipe == RECIPE
    assert cost.measured.conditions.engine == "no network"
    assert min(cost.warp_ms) > 0
    assert min(cost.measured.samples_ms) > 0


def test_what_is_said_of_a_cost() -> None:
    conditions = Conditions("p", "e", "", 1, False, "", "", "r", "fp32", "1x1", 2, None, {})  # noqa: FBT003 - by place
    cost = HostCost(Measured("host", (0.5, 0.6, 0.9), conditions), (0.4, 0.4, 0.4))
    assert cost.person_ms == 0.3
    assert cost.python_us == pytest.approx(200)
