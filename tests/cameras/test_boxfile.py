from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.cameras import BoxFile, Frame, FullFrame
from amfac_edge.errors import FrameError

if TYPE_CHECKING:
    from pathlib import Path

BOX = [10, 20, 30, 40]
XYXY = [10, 20, 40, 60]


def _frame(name: str = "000000000139.jpg", index: int = 0) -> Frame:
    return Frame(index, 0.0, name, np.zeros((90, 120, 3), np.uint8))


def _file(folder: Path, content: object, *, video: bool = False) -> BoxFile:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return BoxFile(path, video=video)


@pytest.mark.parametrize(
    "entry",
    [
        {"image_id": 139},
        {"image_id": "000000000139"},
        {"file_name": "000000000139.jpg"},
        {"file_name": "val2017/000000000139.jpg"},
        {"file_name": "val\\000000000139.jpg", "image_id": 7},
        {"frame": 5, "image_id": 7},
    ],
)
def test_an_entry_finds_its_picture(tmp_path: Path, entry: dict[str, object]) -> None:
    boxes = _file(tmp_path, [{"bbox": BOX, "score": 0.5, "category_id": 1} | entry])
    people = boxes.people(_frame(index=5))
    assert people.boxes.tolist() == [XYXY]
    assert people.scores.tolist() == [0.5]
    assert boxes.people(_frame("000000000140.jpg", 6)).boxes.shape == (0, 4)
    assert boxes.unmatched() == {}


@pytest.mark.parametrize("entry", [{"frame": 5}, {"image_id": 5}])
def test_an_entry_finds_its_frame_of_a_video(tmp_path: Path, entry: dict[str, object]) -> None:
    boxes = _file(tmp_path, [{"bbox": BOX} | entry], video=True)
    assert len(boxes.people(_frame("5.mp4", 4)).boxes) == 0
    people = boxes.people(_frame("clip.mp4", 5))
    assert (people.boxes.tolist(), people.scores.tolist()) == ([XYXY], [1.0])


def test_the_people_of_a_picture_keep_their_order(tmp_path: Path) -> None:
    entries = [{"image_id": 139, "bbox": [left, 0, 5, 5], "score": left / 10} for left in range(5)]
    people = _file(tmp_path, entries).people(_frame())
    assert people.boxes[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert people.scores.tolist() == [0, 0.1, 0.2, 0.3, 0.4]


def test_a_data_set_names_its_pictures(tmp_path: Path) -> None:
    boxes = _file(
        tmp_path,
        {
            "images": [{"id": 3, "file_name": "street.jpg"}, {"id": 4, "file_name": "park.jpg"}],
            "annotations": [
                {"image_id": 3, "bbox": BOX, "category_id": 7, "iscrowd": 0},
                {"image_id": 3, "bbox": BOX, "category_id": 7, "iscrowd": 1},
                {"image_id": 3, "bbox": BOX, "category_id": 1},
                {"image_id": 4, "bbox": BOX, "category_id": 7},
            ],
            "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "person"}],
        },
    )
    assert boxes.people(_frame("street.jpg")).boxes.tolist() == [XYXY]
    assert boxes.left_out == 2
    assert boxes.image_id(_frame("street.jpg")) == 3
    assert boxes.image_id(_frame("other.jpg")) is None
    assert boxes.unmatched() == {"park.jpg": 1}


def test_other_categories_than_person_are_left_out(tmp_path: Path) -> None:
    boxes = _file(tmp_path, [{"image_id": 139, "bbox": BOX, "category_id": number} for number in (1, 2, 18)])
    assert len(boxes.people(_frame()).boxes) == 1
    assert boxes.left_out == 2


def test_boxes_that_no_frame_asked_for_are_counted_by_name(tmp_path: Path) -> None:
    entries = [{"image_id": 1, "bbox": BOX}, {"image_id": 2, "bbox": BOX}, {"image_id": 2, "bbox": BOX}]
    boxes = _file(tmp_path, [*entries, {"frame": 9, "bbox": BOX}, {"file_name": "a/b.png", "bbox": BOX}])
    boxes.people(_frame("1.png"))
    assert boxes.unmatched() == {"id 2": 2, "frame 9": 1, "b.png": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[" * 200_000, "not JSON"),
        ("3", "holds 3"),
        ({"images": []}, r'holds {"images": \[\]}'),
        ({"annotations": {}}, "holds"),
        ([{"image_id": 1, "bbox": BOX}, 7], "entry 1 is 7, not an object"),
        ([{"bbox": BOX}], "entry 0 names no frame"),
        ([{"bbox": BOX, "image_id": True}], "entry 0 names no frame"),
        ([{"bbox": BOX, "image_id": 1.5}], "entry 0 names no frame"),
        ([{"image_id": 1}], "entry 0 bbox: expected four finite numbers .* got null"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], r"got \[1, 2, 3\]"),
        ([{"image_id": 1, "bbox": [1, 2, 3, "4"]}], r'got \[1, 2, 3, "4"\]'),
        ([{"image_id": 1, "bbox": [1, 2, 3, True]}], r"got \[1, 2, 3, true\]"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, NaN]}]', r"got \[1, 2, 3, NaN\]"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, Infinity]}]', r"got \[1, 2, 3, Infinity\]"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 10**400]}], "expected four finite numbers"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 0]}], r"entry 0 bbox \[1, 2, 3, 0\] has no area"),
        ([{"image_id": 1, "bbox": [1, 2, -3, 4]}], "has no area"),
        ([{"image_id": 1, "bbox": BOX, "score": "high"}], 'score: expected a number within 0 and 1, got "high"'),
        ([{"image_id": 1, "bbox": BOX, "score": 1.5}], "within 0 and 1, got 1.5"),
        ([{"image_id": 1, "bbox": BOX, "category_id": [1]}], r"category_id: expected a whole number, got \[1\]"),
        ({"images": [{"id": 1}], "annotations": []}, "image 0 has no id with a file_name"),
        ({"images": [], "annotations": [{"image_id": 1, "bbox": 5}]}, "annotation 0 bbox: expected four"),
    ],
)
def test_a_faulty_file_is_one_error_that_names_the_entry(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(FrameError, match=rf"(?s)boxes\.json: .*{message}.*\n  (Give|Mend)"):
        _file(tmp_path, content)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["bbox", "image_id", "frame", "score", "category_id", "annotations", "images", "iscrowd", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(content=_JSON)
def test_whatever_json_it_is_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    folder = tmp_path_factory.getbasetemp()
    with contextlib.suppress(FrameError):
        _file(folder, content).people(_frame())


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"none\.json: the file of boxes does not exist"):
        BoxFile(tmp_path / "none.json", video=False)


def test_a_full_frame_reaches_from_edge_to_edge() -> None:
    people = FullFrame().people(_frame())
    assert people.boxes.tolist() == [[-0.5, -0.5, 119.5, 89.5]]
    assert people.scores.tolist() == [1.0]
    assert FullFrame().image_id(_frame()) is None
