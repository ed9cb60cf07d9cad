from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import PeopleBoxes, skeleton
from amfac_edge.people import FollowedPeople, PeopleFollower, Smoothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.people.conftest import Person, World

    Made = type[World]
    Anybody = type[Person]

BODY = skeleton("coco-17")


def _follower(**options: object) -> PeopleFollower:
    return PeopleFollower(BODY, **{"smoothing": None, **options})  # type: ignore[arg-type]


def _walk(
    start: float, speed: float, first: int = 0, last: int = 10_000, y: float = 80.0
) -> Callable[[int], tuple[float, float] | None]:
    return lambda frame: (start + speed * (frame - first), y) if first <= frame < last else None


def _ids(told: list[FollowedPeople]) -> list[list[int]]:
    return [people.ids.tolist() for people in told]


def test_one_person_is_followed_by_the_pose_and_the_detector_is_asked_now_and_then(made: Made, person: Anybody) -> None:
    world = made([person(_walk(20, 2.0))], noise=0.5)
    told = world.followed(_follower(every=10), range(100))
    assert _ids(told) == [[1]] * 100
    assert world.asked == list(range(0, 100, 10))
    assert [people.asked for people in told] == [frame % 10 == 0 for frame in range(100)]
    for frame, people in enumerate(told):
        box = world.people[0].box(frame)
        assert box is not None
        # What the network is given holds the whole person, and isn't much more.
        assert (people.boxes[0][:2] <= box[:2] + 4).all()
        assert (people.boxes[0][2:] >= box[2:] - 4).all()
        assert (people.boxes[0][2:] - people.boxes[0][:2]).prod() < 1.8 * 40 * 100


def test_an_empty_frame_has_nobody_and_costs_few_looks(made: Made) -> None:
    world = made([])
    told = world.followed(_follower(every=10), range(50))
    assert _ids(told) == [[]] * 50
    assert len(world.asked) == 5
    assert told[0].keypoints.shape == (0, 17, 2)
    assert told[0].scores.shape == (0, 17)
    assert told[0].boxes.shape == (0, 4)


def test_who_comes_in_is_seen_before_the_next_turn(made: Made, person: Anybody) -> None:
    world = made([person(_walk(280, -3.0, first=13))])
    told = world.followed(_follower(every=30), range(40))
    first = next(frame for frame, people in enumerate(told) if len(people.ids))
    assert 13 <= first <= 19
    assert _ids(told[first:]) == [[1]] * (40 - first)


def test_who_comes_in_beside_others_is_seen_too(made: Made, person: Anybody) -> None:
    world = made([person(_walk(60, 0.2)), person(_walk(250, -1.0, first=21))])
    told = world.followed(_follower(every=30), range(60))
    both = next(frame for frame, people in enumerate(told) if len(people.ids) == 2)
    assert 21 <= both <= 30
    assert _ids(told[both:]) == [[1, 2]] * (60 - both)


def test_who_leaves_is_gone_at_once_and_no_pose_is_invented(made: Made, person: Anybody) -> None:
    world = made([person(_walk(100, 0.0, last=34))])
    told = world.followed(_follower(every=10), range(80))
    assert _ids(told) == [[1]] * 34 + [[]] * 46


def test_who_walks_out_of_the_frame_is_let_go(made: Made, person: Anybody) -> None:
    world = made([person(_walk(200, 4.0))])
    told = world.followed(_follower(every=10), range(80))
    gone = next(frame for frame in range(80) if not world.there(frame))
    assert _ids(told[: gone - 3]) == [[1]] * (gone - 3)
    assert _ids(told[gone:]) == [[]] * (80 - gone)


def test_somebody_in_a_single_frame_is_there_in_that_frame_alone(made: Made, person: Anybody) -> None:
    world = made([person(_walk(100, 0.0, first=7, last=8)), person(_walk(100, 0.0, first=20, last=21))])
    told = world.followed(_follower(every=5), range(40))
    assert [frame for frame, people in enumerate(told) if len(people.ids)] == [7, 20]
    every_frame = world.followed(_follower(every=1), range(40))
    assert [frame for frame, people in enumerate(every_frame) if len(people.ids)] == [7, 20]


def test_somebody_else_later_has_another_id(made: Made, person: Anybody) -> None:
    world = made([person(_walk(100, 0.0, last=20)), person(_walk(100, 0.0, first=90))])
    told = world.followed(_follower(every=10), range(120))
    assert {tuple(ids) for ids in _ids(told[:20])} == {(1,)}
    assert {tuple(ids) for ids in _ids(told[95:])} == {(2,)}


@pytest.mark.parametrize("every", [1, 5, 10])
@pytest.mark.parametrize("speed", [1.0, 2.5, 4.0])
def test_people_who_cross_keep_their_ids(made: Made, person: Anybody, every: int, speed: float) -> None:
    frames = int(240 / speed)
    people = [person(_walk(20, speed), lean=0.3), person(_walk(260, -speed, y=70), size=(44, 110), lean=-0.3)]
    world = made(people, noise=0.3)
    told = world.followed(_follower(every=every), range(frames))
    assert world.who(told[0], 0) == {0: 1, 1: 2} or world.who(told[0], 0) == {0: 2, 1: 1}
    for frame, seen in enumerate(told):
        first = world.who(told[0], 0)
        assert world.who(seen, frame).items() <= first.items()
    assert world.who(told[-1], frames - 1) == world.who(told[0], 0)


def test_one_slip_of_the_detector_loses_nobody(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 1.0))], blind=lambda frame: frame == 20)
    told = world.followed(_follower(every=10), range(60))
    assert _ids(told) == [[1]] * 60
    assert {20, 22} <= set(world.asked)


def test_a_blind_detector_is_not_asked_in_every_frame_and_people_are_found_again(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 0.5))], blind=lambda frame: 20 <= frame < 120)
    told = world.followed(_follower(every=10), range(160))
    assert len([frame for frame in world.asked if 30 <= frame < 120]) <= 25
    assert all(len(ids) == 0 for ids in _ids(told[40:120]))
    back = [frame for frame in range(120, 160) if len(told[frame].ids)]
    assert back[0] <= 130
    assert back == list(range(back[0], 160))


def test_a_pose_that_slips_is_hidden_and_found_again_under_its_id(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 0.5))])
    follower = _follower(every=10)
    told = world.followed(follower, range(15))
    boxes = follower.boxes(world.image(15), 15 / 25, world.detector(15))
    keypoints, scores = world.poses(15, boxes)
    assert len(follower.update(keypoints + 40, scores * 0.2).ids) == 0
    told = world.followed(follower, range(16, 40))
    assert _ids(told) == [[1]] * 24
    assert 16 in world.asked


def test_ids_are_kept_by_whoever_is_out_of_sight_for_a_moment(made: Made, person: Anybody) -> None:
    def path(frame: int) -> tuple[float, float] | None:
        return None if 30 <= frame < 42 else (50 + 0.5 * frame, 80)

    told = made([person(path)]).followed(_follower(every=5), range(70))
    assert {tuple(ids) for ids in _ids(told[:30])} == {(1,)}
    assert _ids(told[30:42]) == [[]] * 12
    assert {tuple(ids) for ids in _ids(told[48:])} == {(1,)}


def test_whom_the_detector_is_unsure_of_stays_but_does_not_come_in(made: Made, person: Anybody) -> None:
    unsure = person(_walk(50, 0.5), score=0.3)
    assert _ids(made([unsure]).followed(_follower(every=3), range(20))) == [[]] * 20
    world = made([person(_walk(50, 0.5))])
    follower = _follower(every=3)
    world.followed(follower, range(10))
    world.people[0].score = 0.3
    assert _ids(world.followed(follower, range(10, 30))) == [[1]] * 20


def test_a_second_box_on_one_person_is_no_second_person(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 0.5)), person(_walk(52, 0.5, first=10, y=81), score=0.5)])
    told = world.followed(_follower(every=4), range(40))
    assert _ids(told) == [[1]] * 40


def test_the_most_certain_are_served_first_and_the_others_are_named(made: Made, person: Anybody) -> None:
    scores = (0.6, 0.95, 0.8, 0.7)
    world = made([person(_walk(20 + 70 * n, 0.1), score=score) for n, score in enumerate(scores)])
    follower = _follower(every=5, max_people=2)
    for frame in range(30):
        boxes = follower.boxes(world.image(frame), frame / 25, world.detector(frame))
        assert len(boxes) == 2
        told = follower.update(*world.poses(frame, boxes))
        assert set(world.who(told, frame)) == {1, 2}
        if told.asked:
            np.testing.assert_allclose(told.skipped.scores, [0.7, 0.6])
            third = world.people[3].box(frame)
            assert third is not None
            np.testing.assert_allclose(told.skipped.boxes[0], third, atol=1)


def test_who_was_left_out_for_a_while_is_known_again(made: Made, person: Anybody) -> None:
    world = made([person(_walk(20, 1.5), score=0.6), person(_walk(250, 0.0, first=10, last=50), score=0.95)])
    told = world.followed(_follower(every=5, max_people=1), range(80))
    assert _ids(told[:10]) == [[1]] * 10
    assert {tuple(ids) for ids in _ids(told[16:50])} == {(2,)}
    assert {tuple(ids) for ids in _ids(told[56:])} == {(1,)}


def test_a_deadline_serves_as_many_as_there_is_time_for(made: Made, person: Anybody) -> None:
    world = made([person(_walk(20 + 70 * n, 0.1), score=0.9 - 0.1 * n) for n in range(4)])
    follower = _follower(every=1, deadline_ms=1000)
    served = []
    for frame in range(20):
        boxes = follower.boxes(world.image(frame), frame / 25, world.detector(frame))
        # Each person takes 400 ms: two fit, and what finding them takes (milliseconds) leaves no room for a third.
        told = follower.update(*world.poses(frame, boxes), spent_ms=400.0 * len(boxes))
        served.append((len(told.ids), len(told.skipped.boxes)))
    assert served[0] == (4, 0)
    assert set(served[1:]) == {(2, 2)}
    slow = _follower(every=1, deadline_ms=100)
    for frame in range(3):
        boxes = slow.boxes(world.image(frame), frame / 25, world.detector(frame))
        slow.update(*world.poses(frame, boxes), spent_ms=400.0 * len(boxes))
    assert len(boxes) == 1


def test_ten_thousand_boxes_are_served_a_hundred(made: Made) -> None:
    world, follower = made([]), _follower()
    corners = np.random.default_rng(1).uniform(0, 200, (10_000, 2))
    crowd = PeopleBoxes(np.hstack([corners, corners + 20]), np.linspace(1, 0.5, 10_000))
    boxes = follower.boxes(world.image(0), 0.0, lambda _: crowd)
    assert len(boxes) <= 100
    told = follower.update(*world.poses(0, boxes))
    assert len(told.skipped.boxes) > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_detector_that_gives_no_numbers_is_named(made: Made, value: float) -> None:
    people = PeopleBoxes(np.array([[10, 10, value, 90]]), np.ones(1))
    with pytest.raises(FrameError, match="the detector gave 1 boxes and 1 scores, not all finite"):
        _follower().boxes(made([]).image(0), 0.0, lambda _: people)


def test_boxes_and_scores_must_be_as_many(made: Made) -> None:
    people = PeopleBoxes(np.array([[10.0, 10, 50, 90]]), np.ones(2))
    with pytest.raises(FrameError, match="1 boxes and 2 scores"):
        _follower().boxes(made([]).image(0), 0.0, lambda _: people)


def test_boxes_that_can_not_be_cropped_are_left_out(made: Made) -> None:
    boxes = np.array([[10, 10, 10, 90], [50, 50, 40, 90], [400, 10, 500, 90], [-90, 10, -5, 90], [10.0, 10, 50, 90]])
    wanted = _follower().boxes(made([]).image(0), 0.0, lambda _: PeopleBoxes(boxes, np.full(5, 0.9)))
    np.testing.assert_array_equal(wanted, boxes[4:])


def test_another_size_of_frame_begins_anew(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 0.5))])
    follower = _follower(every=50)
    world.followed(follower, range(5))
    asked: list[int] = []

    def nobody(image: np.ndarray) -> PeopleBoxes:
        asked.append(image.shape[0])
        return PeopleBoxes.nobody()

    assert len(follower.boxes(np.zeros((480, 640, 3), np.uint8), 0.3, nobody)) == 0
    assert asked == [480]
    follower.update(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert _ids(world.followed(follower, range(6, 9))) == [[2]] * 3


@pytest.mark.parametrize("times", [[0.0] * 12, [5.0, 5.04, 0.0, 0.04, 0.08, 1.0], [0.0, 1e6, 2e6, 2e6 + 0.04]])
def test_any_time_stamps_are_lived_with(made: Made, person: Anybody, times: list[float]) -> None:
    world = made([person(lambda _: (100.0, 80.0))])
    follower = _follower(every=4, smoothing=Smoothing())
    for time in times:
        boxes = follower.boxes(world.image(0), time, world.detector(0))
        told = follower.update(*world.poses(0, boxes))
        assert told.ids.tolist() == [1]
        assert np.isfinite(told.keypoints).all()


def test_times_that_are_none_are_refused(made: Made) -> None:
    with pytest.raises(FrameError, match="the frame's time is nan"):
        _follower().boxes(made([]).image(0), float("nan"), lambda _: PeopleBoxes.nobody())


def test_smoothing_calms_and_no_smoothing_leaves_joints_alone(made: Made, person: Anybody) -> None:
    def jitter(smoothing: Smoothing | None) -> float:
        world = made([person(lambda _: (100.0, 80.0))], noise=1.5)
        told = world.followed(_follower(every=10, smoothing=smoothing), range(80))
        joints = np.array([people.keypoints[0] for people in told[20:]])
        return float(np.abs(np.diff(joints, axis=0)).mean())

    assert jitter(Smoothing()) < 0.6 * jitter(None)


def test_pictures_know_nobody_from_before(made: Made, person: Anybody) -> None:
    world = made([person(_walk(50, 0.0)), person(_walk(150, 0.0, first=1))])
    told = world.followed(_follower(pictures=True, every=1), range(3))
    assert _ids(told) == [[1], [1, 2], [1, 2]]


def test_poses_must_be_those_of_the_boxes(made: Made, person: Anybody) -> None:
    world, follower = made([person(_walk(50, 0.0))]), _follower()
    with pytest.raises(InputError, match="poses of 0 people for no boxes"):
        follower.update(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    follower.boxes(world.image(0), 0.0, world.detector(0))
    with pytest.raises(InputError, match="poses of 3 people for 1 boxes"):
        follower.update(np.zeros((3, 17, 2)), np.zeros((3, 17)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "can't be asked every 0 frames"),
        ({"max_people": 0}, "at most 0 people"),
        ({"deadline_ms": 0.0}, "a deadline of 0 ms"),
        ({"entering_score": 1.5}, "a score of 1.5 is not within 0 and 1"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _follower(**options)


def test_a_day_of_people_leaves_nothing_behind(made: Made, person: Anybody) -> None:
    def path(frame: int) -> tuple[float, float] | None:
        return (100.0, 80.0) if frame % 50 < 20 else None

    follower = _follower(every=5)
    told = made([person(path)]).followed(follower, range(600))
    assert told[555].ids.tolist() == [] or told[555].ids.tolist()[0] >= 10
    assert len(follower._tracks) <= 2
