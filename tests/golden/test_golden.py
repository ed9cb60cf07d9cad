"""The golden vectors are up to date, and OpenCV's crops agree with them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amfac_edge.declared.recipe import CropRule
from amfac_edge.keypoints import SimccCode, crop_affines, transform_points, warp_crops

cv2 = pytest.importorskip("cv2")

HERE = Path(__file__).resolve().parent
GOLDEN: dict[str, Any] = json.loads((HERE / "crop.json").read_text())
CROPS: list[dict[str, Any]] = GOLDEN["crops"]


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, Any], dict[str, Any]]:
    fresh: tuple[dict[str, Any], dict[str, Any]] = runpy.run_path(str(HERE / "make_golden.py"))["golden"]()
    return fresh


def flat(value: object) -> list[object]:
    """The leaves of nested lists and dictionaries, in order."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in [key, *flat(item)]]
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list) else [value]


def test_the_numbers_are_up_to_date(made: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for stored, fresh in zip(flat(GOLDEN), flat(made[0]), strict=True):
        assert stored == (pytest.approx(fresh, abs=1e-9) if isinstance(fresh, float) else fresh)


def test_the_pictures_are_up_to_date(made: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert {path.name for path in HERE.glob("*.png")} == set(made[1])
    for name, fresh in made[1].items():
        difference = np.abs(cv2.imread(str(HERE / name)).astype(int) - fresh)
        # A value of exactly one half may round the other way on another processor.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("case", CROPS, ids=[case["name"] for case in CROPS])
def test_the_library_cuts_the_golden_crops(case: dict[str, Any]) -> None:
    rule = CropRule(case["height"], case["width"], case["padding"], case["pixel_centres"])
    affines = crop_affines(np.array([case["box"]]), rule, case["rotation"])
    np.testing.assert_allclose(affines, [case["affine"]], atol=1e-9)
    np.testing.assert_allclose(
        transform_points(np.array([case["points_crop"]]), affines), [case["points_frame"]], atol=1e-9
    )
    out = np.zeros((1, case["height"], case["width"], 3), np.uint8)
    warp_crops(cv2.imread(str(HERE / GOLDEN["frame"])), affines, out)
    difference = np.abs(out[0].astype(int) - cv2.imread(str(HERE / case["crop"])))
    # Two roundings meet; OpenCV 4 places its samples on a grid of 1/32 pixel besides (2 * 255/64 levels).
    assert difference.max() <= (1 if int(cv2.__version__.split(".")[0]) >= 5 else 9)
    assert difference.mean() < 1


@pytest.mark.parametrize("case", GOLDEN["codes"], ids=["bin centres", "bin edges"])
def test_the_library_decodes_the_golden_logits(case: dict[str, Any]) -> None:
    code = SimccCode(case["width"], case["height"], case["split_ratio"], case["bin_centres"])
    x, y = (np.array(case[axis], np.float32)[None, None] for axis in ("x_logits", "y_logits"))
    keypoints, scores = code.decode(x, y, case["temperature"])
    assert keypoints[0, 0].tolist() == case["keypoint"]
    assert scores[0, 0] == pytest.approx(case["score"], abs=1e-5)


def test_every_field_is_explained() -> None:
    readme = (HERE / "README.md").read_text()
    for field in {*CROPS[0], *GOLDEN["codes"][0]}:
        assert f"`{field}`" in readme
