"""People of calibration sets from every kind of source, and one clear error for each way in which a set is wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.cameras import open_source
from amfac_edge.declared.calibration_set import CalibrationSet, calibration_set_names, crop_form, load_calibration_set
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import AmfacError, DeclaredError, FrameError, InputError
from amfac_edge.keypoints import crop_affines, warp_crops
from amfac_edge.quantization.people import Calibration, calibration_crops, calibration_people, crops_of, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

HEAD = 'schema = "amfac-calibration/1"\ntitle = "A few"\ncount = 16\nheld_out = 16\nseed = 3\n'
PICTURES = 34


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_recipe(tiny_recipe)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """34 pictures of noise, 60 x 50 pixels, and a file that is none."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(PICTURES):
        (folder / f"{number:03}.png").write_bytes(picture(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def declared(tmp_path: Path) -> Callable[..., CalibrationSet]:
    def declare(source: str, head: str = HEAD) -> CalibrationSet:
        path = tmp_path / "mine.toml"
        path.write_text(f"{head}[source]\n{source}\n")
        return load_calibration_set(str(path))

    return declare


def picture(seed: int, height: int = 60, width: int = 50) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def video(path: Path, frames: int = 80, *, dark: bool = False) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(frames):
        coarse = random.integers(0, 1 if dark else 256, size=(6, 8, 3), dtype=np.uint8)
        writer.write(cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_NEAREST))
    writer.release()
    return path


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def coco(folder: Path, count: int = PICTURES, **change: Any) -> None:  # noqa: ANN401
    joints = [value for joint in range(17) for value in (10 + joint, 20 + joint, 2)]
    images = [{"id": n, "file_name": f"{n:03}.png", "width": 50, "height": 60} for n in range(count)]
    person = {"category_id": 1, "bbox": [2, 3, 40, 50], "keypoints": joints, "num_keypoints": 17, "area": 1000}
    people = [{"id": n, "image_id": n, **person, **change} for n in range(count)]
    (folder / "people.json").write_text(json.dumps({"images": images, "annotations": people, "categories": []}))


@pytest.mark.parametrize("name", calibration_set_names())
def test_shipped_sets_load(name: str) -> None:
    found = load_calibration_set(name)
    assert found.count + found.held_out >= 128
    assert found.digests == {}
    assert hash(found) == hash(load_calibration_set(name))


def test_shipped_sets_of_pictures_say_where_to_name_them(recipe: Recipe, tmp_path: Path) -> None:
    found = load_calibration_set("coco-val2017", data=tmp_path)
    with pytest.raises(
        InputError, match=r"coco-val2017: .*person_keypoints_val2017.json does not exist\n.*--calib-data"
    ):
        calibration_people(found, recipe)


def test_lsp_extended(recipe: Recipe, shared_data: Path) -> None:
    found = calibration_people(load_calibration_set("lspet", data=shared_data / "lspet"), recipe)
    assert (len(found.people), len(found.held_out)) == (128, 256)
    assert not set(found.people.image_ids.tolist()) & set(found.held_out.image_ids.tolist())


def test_a_folder_of_pictures_is_one_person_a_picture(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    found = calibration_people(declared('images = "album"'), recipe)
    assert (len(found.people), len(found.held_out), found.left_out) == (16, 16, 0)
    everyone = [*found.people.image_ids.tolist(), *found.held_out.image_ids.tolist()]
    assert len(set(everyone)) == 32
    assert not found.people.labelled.any()
    assert (found.people.boxes == [-0.5, -0.5, 49.5, 59.5]).all()
    crops = calibration_crops(found, recipe)
    expected = np.empty_like(crops[:1])
    name = found.people.images[everyone[0]].file_name
    source = cv2.imread(str(album / name))
    warp_crops(source, crop_affines(found.people.boxes[:1], recipe.crop), expected)
    assert (crops[0] == expected[0]).all()
    again = calibration_people(declared('images = "album"'), recipe)
    assert digest_of(calibration_crops(again, recipe)) == digest_of(crops)
    other = calibration_people(declared('images = "album"', HEAD.replace("seed = 3", "seed = 4")), recipe)
    assert digest_of(calibration_crops(other, recipe)) != digest_of(crops)


def test_a_tar_gives_what_its_folder_does(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe, tmp_path: Path
) -> None:
    packed(tmp_path / "album.tar", {path.name: path.read_bytes() for path in sorted(album.iterdir())})
    folder = calibration_people(declared('images = "album"'), recipe)
    tar = calibration_people(declared('images = "album.tar"'), recipe)
    assert (calibration_crops(tar, recipe) == calibration_crops(folder, recipe)).all()


def test_pictures_are_turned_as_their_exif_says(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    for path in album.glob("*.png"):
        jpeg = cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
        path.unlink()
        path.with_suffix(".jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    found = calibration_people(declared('images = "album"'), recipe)
    assert (found.people.boxes == [-0.5, -0.5, 59.5, 49.5]).all()
    assert len(calibration_crops(found, recipe)) == 16


@pytest.mark.usefixtures("album")
def test_boxes_say_who_is_in_pictures(declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"file_name": f"{n:03}.png", "bbox": [1, 2, 33 + n / 10, 34]} for n in range(PICTURES)
    ]
    rows += [{"file_name": "000.png", "bbox": [1, 2, 5, 6]}]
    rows += [{"file_name": f"{n:03}.png", "bbox": [5, 6, 40, 40], "score": 0.4} for n in range(PICTURES)]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    found = calibration_people(declared('images = "album"\nboxes = "boxes.json"'), recipe)
    numbers = found.people.image_ids - 1
    assert found.people.boxes[:, 2] == pytest.approx(1 + 33 + numbers / 10)
    doubtful = 'images = "album"\nboxes = "boxes.json"\nmin_score = 0.4'
    assert 5 in calibration_people(declared(doubtful), recipe).people.boxes[:, 0]
    (tmp_path / "boxes.json").write_text(json.dumps(rows[:31]))
    with pytest.raises(InputError, match=r"31 usable people on pictures of their own, 16 \+ 16 are asked for"):
        calibration_people(declared('images = "album"\nboxes = "boxes.json"'), recipe)
    (tmp_path / "boxes.json").write_text(
        json.dumps([{"file_name": f"{n:03}.png", "bbox": [90, 90, 40, 40]} for n in range(99)])
    )
    with pytest.raises(FrameError, match=r"\.png: box 0 .* lies outside the frame of 50x60 pixels"):
        calibration_people(declared('images = "album"\nboxes = "boxes.json"'), recipe)


def test_boxes_need_names_that_differ(declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path) -> None:
    packed(tmp_path / "two.tar", {"a/1.png": picture(0), "b/1.png": picture(1)})
    (tmp_path / "boxes.json").write_text("[]")
    with pytest.raises(InputError, match=r"1 of its pictures have the name of another one"):
        calibration_people(declared('images = "two.tar"\nboxes = "boxes.json"'), recipe)


def test_a_video_gives_every_nth_frame_and_later_ones_judge(
    declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path
) -> None:
    path = video(tmp_path / "clip.avi")
    found = calibration_people(declared('video = "clip.avi"\nevery = 2'), recipe)
    numbers = np.concatenate([found.people.image_ids, found.held_out.image_ids]) - 1
    assert (np.diff(numbers) > 0).all()
    assert (numbers % 2 == 0).all()
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(80)]
    crops = calibration_crops(found, recipe)
    expected = np.empty_like(crops[:1])
    warp_crops(frames[numbers[5]], crop_affines(found.people.boxes[5:6], recipe.crop), expected)
    assert (crops[5] == expected[0]).all()
    # What lies back is reached again.
    assert (next(crops_of(found.people, recipe)) == crops[0]).all()


def test_boxes_say_who_is_in_a_video(declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path) -> None:
    video(tmp_path / "clip.avi")
    rows = [{"frame": n, "bbox": [0, 0, 32 + n / 10, 40]} for n in range(20, 70)]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    found = calibration_people(declared('video = "clip.avi"\nboxes = "boxes.json"'), recipe)
    assert found.people.boxes[:, 2] == pytest.approx(32 + (found.people.image_ids - 1) / 10)
    assert found.people.image_ids.min() > 20


def test_augmentation_moves_those_who_calibrate_alone(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    assert album.is_dir()
    plain = calibration_people(declared('images = "album"'), recipe)
    table = 'images = "album"\n[augmentation]\nshift = 0.1\nscale = [0.8, 1.25]\nbrightness = [0.5, 0.5]'
    moved = calibration_people(declared(table), recipe)
    assert (moved.held_out.boxes == plain.held_out.boxes).all()
    assert (moved.people.image_ids == plain.people.image_ids).all()
    extents, before = (np.diff(each.people.boxes.reshape(-1, 2, 2), axis=1)[:, 0] for each in (moved, plain))
    scale = extents / before
    assert scale[:, 0] == pytest.approx(scale[:, 1])
    assert 0.8 <= scale.min() < 1 < scale.max() <= 1.25
    middles, others = (each.people.boxes.reshape(-1, 2, 2).mean(axis=1) for each in (moved, plain))
    assert 0 < np.abs((middles - others) / before).max() <= 0.1
    unlit = next(crops_of(moved.people, recipe))
    assert (calibration_crops(moved, recipe)[0] == np.rint(unlit * 0.5)).all()
    again = calibration_people(declared(table), recipe)
    assert (again.people.boxes == moved.people.boxes).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", r"source: names no people: give annotations \(a JSON\), images, video, or generated = true"),
        ("generated = false", r"source: names no people"),
        ('images = "album"\nevery = 3', r"source\.every: unknown key"),
        ('video = "a.mp4"\nevery = 0', r"source\.every: 0 is not within 1"),
        ('images = "album"\nmin_score = 0.3', r"source\.min_score: unknown key"),
        ('images = "album"\n[augmentation]\nshift = 0.6', r"augmentation\.shift: 0\.6 is not within"),
        ('images = "album"\n[augmentation]\nscale = [1.2, 1.1]', r"augmentation\.scale: \[1\.2, 1\.1\] is no range"),
        ('images = "album"\n[augmentation]\nrotate = 1', r"augmentation\.rotate: unknown key"),
        ('images = "album"\n[digest]\n"64x48" = "abc"', r"digest\.64x48: expected a SHA-256"),
        ('images = "album"\nimage = "x"', r"source\.image: unknown key; did you mean images"),
    ],
    ids=range(10),
)
def test_faulty_tables(declared: Callable[..., CalibrationSet], source: str, message: str) -> None:
    with pytest.raises(DeclaredError, match=message):
        declared(source)


def test_an_unknown_key_beside_annotations(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    coco(album.parent)
    with pytest.raises(DeclaredError, match=r"source\.evry: unknown key"):
        calibration_people(declared('annotations = "people.json"\nimages = "album"\nevry = 2'), recipe)
    with pytest.raises(DeclaredError, match=r"more: unknown key"):
        declared('annotations = "people.json"\nimages = "album"', HEAD + "more = 1\n")
    with pytest.raises(InputError, match=r"mine\.toml names no pictures"):
        calibration_people(declared('annotations = "people.json"'), recipe)


def test_annotations_without_people(declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe) -> None:
    source = 'annotations = "people.json"\nimages = "album"'
    coco(album.parent)
    assert len(calibration_people(declared(source), recipe).people) == 16
    coco(album.parent, keypoints=[0] * 51, num_keypoints=0)
    with pytest.raises(InputError, match=r"of its 34 people none has a labelled joint"):
        calibration_people(declared(source), recipe)
    coco(album.parent, bbox=[0, 0, 31, 31])
    with pytest.raises(InputError, match=r"0 usable people on pictures of their own, 16 \+ 16 are asked for"):
        calibration_people(declared(source), recipe)


def test_pictures_of_another_size_than_annotated(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    coco(album.parent)
    for number, path in enumerate(album.glob("*.png")):
        path.write_bytes(picture(number, 30, 25))
    found = calibration_people(declared('annotations = "people.json"\nimages = "album"'), recipe)
    with pytest.raises(FrameError, match=r"\.png: has 25x30 pixels, and 50x60 in the annotations"):
        calibration_crops(found, recipe)


def test_pictures_of_a_few_pixels(declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe) -> None:
    for number, path in enumerate(album.glob("*.png")):
        path.write_bytes(picture(number, 12, 9))
    with pytest.raises(InputError, match=r"0 usable people on pictures of their own"):
        calibration_people(declared('images = "album"'), recipe)


def test_a_box_that_lies_beside_its_picture(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe
) -> None:
    coco(album.parent, bbox=[200, 200, 40, 50])
    found = calibration_people(declared('annotations = "people.json"\nimages = "album"'), recipe)
    with pytest.raises(InputError, match=r"the box of annotation \d+ shows nothing \(all values alike, or none\)"):
        calibration_crops(found, recipe)


@pytest.mark.parametrize("value", [0, 255])
def test_pictures_that_show_nothing(
    declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe, value: int
) -> None:
    flat = cv2.imencode(".png", np.full((90, 90, 3), value, np.uint8))[1].tobytes()
    for path in album.glob("*.png"):
        path.write_bytes(flat)
    found = calibration_people(declared('images = "album"'), recipe)
    with pytest.raises(InputError, match=r"album, \d+\.png: the box of annotation 1 shows nothing"):
        calibration_crops(found, recipe)


def test_a_dark_video(declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path) -> None:
    video(tmp_path / "clip.avi", dark=True)
    with pytest.raises(InputError, match=r"clip\.avi, frame \d+: the box of annotation 1 shows nothing"):
        calibration_crops(calibration_people(declared('video = "clip.avi"'), recipe), recipe)


def test_a_picture_that_vanishes(declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe) -> None:
    found = calibration_people(declared('images = "album"'), recipe)
    gone = found.people.images[int(found.people.image_ids[3])].file_name
    (album / gone).unlink()
    with pytest.raises(FrameError, match=rf"album: has no picture '{gone}'"):
        calibration_crops(found, recipe)


def test_a_pinned_digest(declared: Callable[..., CalibrationSet], album: Path, recipe: Recipe) -> None:
    coco(album.parent)
    source = 'annotations = "people.json"\nimages = "album"\n[digest]\n"64x48" = "{}"\n"8x8" = "{}"'
    with pytest.raises(InputError, match=r"mine: its 16 crops of 64x48 have the digest\n") as caught:
        calibration_crops(calibration_people(declared(source.format("0" * 64, "0" * 64)), recipe), recipe)
    assert "0" * 64 in caught.value.problem
    assert "amfac-calibrate --check" in caught.value.cure
    assert "--recipe tiny --pin" in caught.value.cure
    right = caught.value.problem.split("digest\n    ")[1][:64]
    pinned = declared(source.format(right, "0" * 64))
    assert len(calibration_crops(calibration_people(pinned, recipe), recipe)) == 16
    (album / "007.png").unlink()
    with pytest.raises(
        InputError, match=r"of its data 2 entries can't be used, the first: image 7 .* has no \"007.png\""
    ):
        calibration_crops(calibration_people(pinned, recipe), recipe)


def test_crops_of_another_kind_have_another_name(recipe: Recipe) -> None:
    assert crop_form(recipe.crop) == "64x48"
    odd = dataclasses.replace(recipe.crop, padding=1.1, pixel_centres=False)
    assert crop_form(odd) == "64x48-padding-1.1-corner"


def refused(declared: CalibrationSet, recipe: Recipe) -> AmfacError:
    with pytest.raises(AmfacError) as caught:
        calibration_people(declared, recipe)
    return caught.value


def test_sources_that_are_none(declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"no video at all")
    (tmp_path / "one.png").write_bytes(picture(0))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_bytes(picture(0)[:50])
    (tmp_path / "boxes.json").write_text("{")
    packed(tmp_path / "hostile.tar", {"../../1.png": picture(0), "/2.png": picture(1), "a/../../3.png": picture(2)})
    for source, message in (
        ('images = "none"', "none does not exist"),
        ('images = "empty"', "empty: no picture in it"),
        ('images = "clip.mp4"', "can't be read as an uncompressed tar"),
        ('images = "hostile.tar"', "hostile.tar: no picture in it"),
        ('images = "broken"', "broken: 1.png: the picture's data are truncated or damaged"),
        ('images = "empty"\nboxes = "none.json"', "none.json does not exist"),
        ('video = "none.mp4"', "none.mp4 does not exist"),
        ('video = "clip.mp4"', "clip.mp4: neither a picture nor a video that can be read"),
        ('video = "one.png"', "one.png: this is no video"),
        ('annotations = "boxes.json"\nimages = "empty"', "boxes.json: not JSON"),
    ):
        assert message in refused(declared(source), recipe).problem, source
    video(tmp_path / "clip.avi")
    assert "boxes.json: not JSON" in refused(declared('video = "clip.avi"\nboxes = "boxes.json"'), recipe).problem
    assert "5 usable people" in refused(declared('video = "clip.avi"\nevery = 16'), recipe).problem


def test_a_video_that_breaks_off(
    declared: Callable[..., CalibrationSet], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video(tmp_path / "clip.avi", 30)
    module = "amfac_edge.quantization.unlabelled.open_source"

    def boastful(path: Path) -> Any:  # noqa: ANN401
        source: Any = open_source(path)
        source.length = 300
        return source

    monkeypatch.setattr(module, boastful)
    found: Calibration = calibration_people(declared('video = "clip.avi"'), recipe)
    with pytest.raises(FrameError, match=r"frame \d+ can't be read; the video breaks off after 30 frames"):
        calibration_crops(found, recipe)
