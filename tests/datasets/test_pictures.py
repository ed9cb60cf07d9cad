"""Pictures from folders and tars, in several processes, and what damaged ones end in."""

from __future__ import annotations

import copy
import io
import json
import multiprocessing
import tarfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.datasets import PeopleSet, load_people
from amfac_edge.datasets.pictures import FolderPictures, TarPictures, decoded_picture, open_pictures
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _png(value: int, height: int = 8, width: int = 6) -> bytes:
    return bytes(cv2.imencode(".png", np.full((height, width, 3), value, np.uint8))[1])


def _tar(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return _tar(tmp_path / "pictures.tar", {f"set/{number}.png": _png(number) for number in range(8)})


def _value(store: TarPictures, number: int) -> int:
    return int(store.read(f"{number}.png", 8, 6)[0, 0, 0])


def test_a_tar_and_a_folder_give_the_same(tar: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "set").mkdir(parents=True)
    for number in range(8):
        (tmp_path / "out" / "set" / f"{number}.png").write_bytes(_png(number))
    for store in (open_pictures(tar), open_pictures(tmp_path / "out"), open_pictures(tmp_path / "out" / "set")):
        assert "set/3.png" in store
        assert (store.read("set/3.png", 8, 6) == 3).all()
        assert "set/9.png" not in store
        with pytest.raises(FrameError, match=r"has no picture 'set/9\.png'"):
            store.read("set/9.png", 8, 6)


def test_a_tar_is_read_by_threads_and_processes_at_once(tar: Path) -> None:
    store = TarPictures(tar)
    assert _value(store, 1) == 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: _value(store, number % 8), range(64))) == [n % 8 for n in range(64)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_value, [store] * 8, range(8))) == list(range(8))
    twin = copy.deepcopy(store)
    store.close()
    assert (_value(twin, 5), _value(store, 6)) == (5, 6)


def test_a_name_in_two_folders_of_a_tar_needs_its_folder(tmp_path: Path) -> None:
    store = TarPictures(_tar(tmp_path / "two.tar", {"a/1.png": _png(1), "b/1.png": _png(2)}))
    assert "1.png" not in store
    assert (store.read("b/1.png", 8, 6) == 2).all()


def test_a_name_longer_than_names_can_be_is_a_missing_picture(tmp_path: Path) -> None:
    store = FolderPictures(tmp_path)
    assert "a" * 300 not in store
    with pytest.raises(FrameError, match="has no picture 'aaa"):
        store.read("a" * 300, 8, 6)


def test_a_folder_that_fails_is_not_a_missing_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    pictures = FolderPictures(tmp_path)
    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(FrameError, match=r"'1.png' can't be read: Permission denied"):
        pictures.content("1.png")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "", "\0"])
def test_names_cant_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(_png(1))
    (tmp_path / "pictures").mkdir()
    assert name not in FolderPictures(tmp_path / "pictures")


def test_links_and_hostile_members_of_a_tar_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("../up.png", tarfile.REGTYPE), ("/abs.png", tarfile.REGTYPE), ("l.png", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    store = TarPictures(path)
    assert [name for name in ("../up.png", "up.png", "/abs.png", "abs.png", "l.png") if name in store] == []


@pytest.mark.parametrize("damage", ["cut", "noise", "gz", "empty"])
def test_what_is_no_tar_is_refused(tar: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.tar"
    content = tar.read_bytes()
    if damage == "gz":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tar, "x.png")
    else:
        path.write_bytes({"cut": content[:1100], "noise": b"x" * 2000, "empty": b""}[damage])
    with pytest.raises(InputError, match="can't be read as an uncompressed tar"):
        TarPictures(path)


def test_neither_folder_nor_tar(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or tar"):
        open_pictures(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"not a picture", _png(1)[:40]])
def test_a_damaged_picture_is_named(content: bytes) -> None:
    with pytest.raises(FrameError, match=r"x\.png: the picture is truncated, damaged or none"):
        decoded_picture(content, "x.png", 8, 6)


def test_another_size_than_annotated_is_refused() -> None:
    with pytest.raises(FrameError, match=r"x\.png: has 6x8 pixels, and 5x5 in the annotations"):
        decoded_picture(_png(1), "x.png", 5, 5)


def _annotated(folder: Path, names: list[str]) -> Path:
    joints = list(skeleton("coco-17").joints)
    data = {
        "images": [
            {"id": index, "file_name": name, "width": 6, "height": 8} for index, name in enumerate(names, start=1)
        ],
        "annotations": [
            {"id": index, "image_id": index, "bbox": [0, 0, 5, 7], "keypoints": [1, 1, 2] * 17}
            for index, _ in enumerate(names, start=1)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": joints}],
    }
    path = folder / "people.json"
    path.write_text(json.dumps(data))
    return path


def test_missing_pictures_are_named_and_take_their_people_along(tar: Path, tmp_path: Path) -> None:
    annotations = _annotated(tmp_path, ["1.png", "gone.png"])
    with pytest.raises(InputError, match=r'image 1 \(id 2\): .*pictures\.tar has no "gone\.png"'):
        load_people(annotations, images=tar)
    people: PeopleSet = load_people(annotations, images=tar, on_fault="skip")
    assert people.image_ids.tolist() == [1]
    assert len(people.faults) == 2
    picture: NDArray[np.uint8] = people.read_image(1)
    assert (picture == 1).all()
    with pytest.raises(FrameError, match="no picture with the id 2"):
        people.read_image(2)


def test_a_set_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was loaded without its pictures"):
        load_people(_annotated(tmp_path, ["1.png"])).read_image(1)
