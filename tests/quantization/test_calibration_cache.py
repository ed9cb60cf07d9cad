"""Kept ranges are used where they hold for exactly what is asked, and nowhere else; a damaged file is none."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.files import json_bytes, sha256_of
from amfac_edge.quantization import kept_ranges as module
from amfac_edge.quantization.kept_ranges import KeptRanges, Wanted, kept_ranges, read_ranges
from amfac_edge.quantization.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "amfac-edge" / "calibration"


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_recipe(tiny_recipe)


@pytest.fixture
def raw() -> onnx.ModelProto:
    return convolution(1.0)


@pytest.fixture
def crops(recipe: Recipe) -> np.ndarray:
    shape = (3, recipe.crop.height, recipe.crop.width, 3)
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def convolution(weight: float) -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.full((2, 3, 1, 1), weight, np.float32), "weight")
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["mid"], name="first"),
        helper.make_node("Relu", ["mid"], ["out"], name="second"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 64, 48])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 2, 64, 48])
    graph = helper.make_graph(nodes, "g", [image], [out], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@pytest.fixture
def taken(raw: onnx.ModelProto, crops: np.ndarray, recipe: Recipe) -> Callable[..., KeptRanges]:
    def take(
        *,
        use_cache: bool = True,
        say: Callable[[str], None] = lambda _: None,
        progress: Callable[[int], None] | None = None,
        **other: Any,  # noqa: ANN401
    ) -> KeptRanges:
        words: dict[str, Any] = {
            "raw": raw, "placement": Placement(("first",)), "crops": crops, "recipe": recipe, "method": "minmax",
            "sources": {"checkpoint": "abc"},
        }  # fmt: skip
        return kept_ranges(Wanted(**(words | other)), use_cache=use_cache, say=say, progress=progress)

    return take


def test_what_was_taken_once_is_read(taken: Callable[..., KeptRanges], cache: Path) -> None:
    first = taken()
    assert not first.from_cache
    assert first.path is not None
    assert first.path.parent == cache
    assert list(cache.iterdir()) == [first.path]
    lines: list[str] = []
    runs: list[int] = []
    again = taken(say=lines.append, progress=runs.append)
    assert again.from_cache
    assert again.ranges == first.ranges
    assert lines == [f"calibration from cache: {first.path}"]
    assert runs == []


def test_none_is_kept_where_none_is_wanted(taken: Callable[..., KeptRanges], cache: Path) -> None:
    found = taken(use_cache=False)
    assert (found.path, found.from_cache, cache.exists()) == (None, False, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("raw", convolution(2.0)),
        ("method", "percentile"),
        ("sources", {"checkpoint": "abd"}),
        ("placement", Placement(("second",))),
    ],
)
def test_another_question_has_another_answer(taken: Callable[..., KeptRanges], name: str, value: Any) -> None:  # noqa: ANN401
    first = taken()
    assert not taken(**{name: value}).from_cache
    assert taken().from_cache
    assert taken().path == first.path


def test_other_crops_recipes_and_libraries_are_other_questions(
    taken: Callable[..., KeptRanges], crops: np.ndarray, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken()
    one_pixel = crops.copy()
    one_pixel[1, 2, 3, 0] ^= 1
    assert not taken(crops=one_pixel).from_cache
    assert not taken(crops=crops[::-1]).from_cache
    assert not taken(recipe=dataclasses.replace(recipe, mean=(0.5, 0.5, 0.5))).from_cache
    assert taken().from_cache
    monkeypatch.setattr(np, "__version__", "0.0")
    assert not taken().from_cache
    monkeypatch.undo()
    monkeypatch.setattr(module, "HOW", "another way")
    assert not taken().from_cache


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-20],
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"[" * 100_000,
        lambda content: content.replace(b"minmax", b"minmix"),
        lambda content: content.replace(b'"image": ', b'"image": 1'),
        lambda content: content.replace(b'"image": ', b'"image": NaN, "other": '),
    ],
    ids=["cut off", "empty", "a list", "deep", "another method", "another range", "no number"],
)
def test_a_damaged_file_is_taken_anew(taken: Callable[..., KeptRanges], damage: Callable[[bytes], bytes]) -> None:
    first = taken()
    assert first.path is not None
    whole = first.path.read_bytes()
    first.path.write_bytes(damage(whole))
    assert first.path.read_bytes() != whole
    lines: list[str] = []
    again = taken(say=lines.append)
    assert not again.from_cache
    assert again.ranges == first.ranges
    assert "damaged, or was made for something else; calibrating anew" in lines[0]
    assert first.path.read_bytes() == whole


@pytest.mark.parametrize(
    "largest", [{"image": -1.0}, {"image": 0.0}, {"image": True}, {"image": "1"}, {"other": 1.0}, []]
)
def test_a_hostile_file_with_a_right_digest_is_none(taken: Callable[..., KeptRanges], largest: object) -> None:
    first = taken()
    assert first.path is not None
    content = json.loads(first.path.read_bytes())
    del content["sha256"]
    content["ranges"]["largest"] = largest
    first.path.write_bytes(json_bytes({**content, "sha256": sha256_of(json_bytes(content))}))
    with pytest.raises(InputError, match=r"damaged, or was made for something else"):
        read_ranges(first.path, first.key)
    assert not taken().from_cache


def test_no_cache_is_worth_an_error(
    taken: Callable[..., KeptRanges], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    lines: list[str] = []
    found = taken(say=lines.append)
    assert found.path is None
    assert found.ranges.largest["image"] > 0
    assert "the calibration is not kept" in lines[0]


def test_numbers_that_are_none_are_an_error_and_are_not_kept(taken: Callable[..., KeptRanges], cache: Path) -> None:
    two = convolution(np.inf)
    with pytest.raises(ModelFileError, match=r"tensor mid has values that are no numbers on calibration crop 0"):
        taken(raw=two, placement=Placement(("second",)))
    assert not cache.exists()
