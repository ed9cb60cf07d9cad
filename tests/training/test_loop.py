"""The loop: it learns, goes on bit for bit, keeps what it should, and stops with the batch named."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from amfac_edge.datasets import generated_people
from amfac_edge.errors import CheckpointError, InputError, OutputError
from amfac_edge.networks import load_checkpoint, save_checkpoint
from amfac_edge.networks.fresh import fresh_network
from amfac_edge.training import BEST, LAST, STATE, Processes, TrainingPlan, train
from amfac_edge.training.learner import Learner, NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Silent  # type: ignore[import-not-found]

    PlanOf = Callable[..., TrainingPlan]


def interrupted_after(steps: int, watcher: Silent) -> None:
    """Let the watcher end the training after so many steps, as Ctrl-C does."""
    count = watcher.step_done

    def step_done(loss: float) -> None:
        count(loss)
        if watcher.steps == steps:
            raise KeyboardInterrupt

    watcher.step_done = step_done


@pytest.mark.parametrize("steps", [2, 4, 6])
def test_it_goes_on_bit_for_bit(steps: int, plan_of: PlanOf, alone: Processes, watcher: Silent, tmp_path: Path) -> None:
    """Interrupted within an epoch, at its end, and within the next; the state is saved after each step."""
    whole = plan_of(out=tmp_path / "whole")
    train(whole, alone, type(watcher)())
    parts = plan_of(out=tmp_path / "parts", save_every_s=0.0)
    interrupted_after(steps, watcher)
    with pytest.raises(KeyboardInterrupt):
        train(parts, alone, watcher)
    result = train(parts, alone, type(watcher)(), resume=True)
    for name in (LAST, STATE):
        one, other = load_file(whole.out / name), load_file(parts.out / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    expected = json.loads((whole.out / "log.json").read_text())["epochs"]
    assert [record["loss"] for record in result.history] == [record["loss"] for record in expected]


def test_what_is_kept_and_written(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    plan = plan_of({"epochs": 3}, held_out=generated_people(4, 9, height=64, width=64), score_every=2)
    result = train(plan, alone, watcher)
    with (plan.out / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    # Scored every second epoch, and at the end.
    assert [row["AP"] != "" for row in rows] == [False, True, True]
    assert float(rows[2]["loss"]) == result.history[2]["loss"]
    assert watcher.records == result.history
    log = json.loads((plan.out / "log.json").read_text())
    assert log["settings"]["recipe"]["name"] == "tiny"
    curves = cv2.imread(str(plan.out / "curves.png"))
    assert curves is not None
    assert curves.shape[0] > 400
    for name in (BEST, LAST):
        loaded = load_checkpoint(plan.out / name)
        assert loaded.trained
        assert loaded.recipe == plan.recipe
    assert load_checkpoint(plan.out / LAST).metadata["training"]["epoch"] == 3
    assert result.best == max(record.get("AP", -1) for record in result.history)


def test_a_nan_stops_with_the_pictures_named_and_the_state_kept(
    plan_of: PlanOf, alone: Processes, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(save_every_s=0.0)
    honest = Learner.loss
    seen: list[list[int]] = []

    def third_is_nan(learner: Learner, batch: Any) -> torch.Tensor:  # noqa: ANN401
        seen.append(batch.indices.tolist())
        return honest(learner, batch) * (float("nan") if len(seen) == 3 else 1.0)

    monkeypatch.setattr(Learner, "loss", third_is_nan)
    with pytest.raises(NotFiniteError, match="the loss is nan in a batch of the pictures") as raised:
        train(plan, alone, watcher)
    # Generated pictures are named by their number, and person i is on picture i + 1.
    for index in seen[2]:
        assert f"{index + 1:06d}" in raised.value.problem
    assert "state.safetensors has the last good state" in raised.value.problem
    assert all(value.isfinite().all() for value in load_file(plan.out / STATE).values())
    assert raised.value.exit_code == 2


def test_a_fault_of_the_scoring_does_not_cost_the_epoch(
    plan_of: PlanOf, alone: Processes, watcher: Silent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held_out = generated_people(4, 9, height=64, width=64)
    whole = plan_of({"epochs": 1}, held_out=held_out, out=tmp_path / "whole")
    train(whole, alone, type(watcher)())
    plan = replace(whole, out=tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr("amfac_edge.training.loop.held_out_score", _refused)
        with pytest.raises(InputError, match="not today"):
            train(plan, alone, watcher)
    result = train(plan, alone, watcher, resume=True)
    assert watcher.steps == 4
    assert result.history[0]["AP"] == json.loads((whole.out / "log.json").read_text())["epochs"][0]["AP"]
    one, other = (load_file(each.out / LAST) for each in (whole, plan))
    assert all(torch.equal(one[key], other[key]) for key in one)


def _refused(*_: object, **__: object) -> dict[str, float]:
    raise InputError("not today", cure="Tomorrow.")


def test_a_nan_before_anything_was_saved(
    plan_of: PlanOf, alone: Processes, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learner, "loss", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(NotFiniteError, match=r"the loss is inf .*nothing was saved yet"):
        train(plan_of(), alone, watcher)


def test_a_folder_with_a_training_is_not_overwritten(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    plan = plan_of({"epochs": 1})
    train(plan, alone, watcher)
    before = (plan.out / STATE).read_bytes()
    with pytest.raises(InputError, match="has a training already"):
        train(plan, alone, watcher)
    assert (plan.out / STATE).read_bytes() == before


def test_there_must_be_something_to_go_on_with(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    with pytest.raises(InputError, match="no training to go on with"):
        train(plan_of(), alone, watcher, resume=True)


def test_other_data_is_no_continuation(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    plan = plan_of({"epochs": 1})
    train(plan, alone, watcher)
    other = replace(plan, people=generated_people(8, 1, height=64, width=64))
    with pytest.raises(InputError, match=r'data\.name was "generated-16-0", now "generated-8-1"; data.people was 16'):
        train(other, alone, watcher, resume=True)


def test_data_of_the_same_name_and_number_are_no_continuation_either(
    plan_of: PlanOf, alone: Processes, watcher: Silent
) -> None:
    held_out = generated_people(4, 9, height=64, width=64)
    plan = plan_of({"epochs": 1}, held_out=held_out, protocol="pck")
    train(plan, alone, watcher)
    mirrored = plan.people.keypoints * np.array([-1.0, 1.0, 1.0]) + np.array([63.0, 0.0, 0.0])
    for other, said in (
        ({"people": replace(plan.people, keypoints=mirrored)}, "data.sha256 was"),
        ({"held_out": replace(held_out, boxes=held_out.boxes + 1)}, "held_out.sha256 was"),
        ({"held_out": None}, "held_out was .*, now null"),
        ({"protocol": "coco"}, 'held_out.protocol was "pck", now "coco"'),
    ):
        with pytest.raises(InputError, match=said):
            train(replace(plan, **other), alone, watcher, resume=True)


@pytest.mark.parametrize("name", [BEST, LAST])
def test_weights_without_a_state_are_not_overwritten(
    plan_of: PlanOf, alone: Processes, watcher: Silent, name: str
) -> None:
    plan = plan_of({"epochs": 1})
    plan.out.mkdir(exist_ok=True)
    (plan.out / name).write_bytes(b"somebody's")
    with pytest.raises(InputError, match=f"has a training already .{name}.\n.*Choose another --out"):
        train(plan, alone, watcher)
    with pytest.raises(InputError, match=r"no training to go on with\n.*Choose another --out; --init begins"):
        train(plan, alone, watcher, resume=True)
    assert (plan.out / name).read_bytes() == b"somebody's"


def test_bad_data_is_refused_before_anything_is_written(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    crowd = generated_people(8, 0, skeleton="crowdpose-14", height=64, width=64)
    people = generated_people(8, 0, height=64, width=64)
    nobody = replace(people, keypoints=people.keypoints * [1, 1, 0])
    for bad, problem in ((crowd, "crowdpose-14"), (nobody, "nobody|no .*people|labelled")):
        plan = plan_of(people=bad)
        with pytest.raises(InputError, match=problem):
            train(plan, alone, watcher)
        assert not plan.out.exists()


def test_a_batch_must_be_shared_evenly(plan_of: PlanOf, watcher: Silent) -> None:
    with pytest.raises(InputError, match="a batch of 4 can't be shared evenly by 3 processes"):
        train(plan_of(), Processes(0, 3, torch.device("cpu")), watcher)


def test_fp16_needs_a_gpu(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    with pytest.raises(InputError, match="fp16 without a GPU"):
        train(plan_of(precision="fp16"), alone, watcher)


def test_a_full_disk_names_the_file(
    plan_of: PlanOf, alone: Processes, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amfac_edge.files._flush_to_disk", full)
    plan = plan_of()
    with pytest.raises(OutputError, match=r"last.safetensors: can't be written: No space left on device"):
        train(plan, alone, watcher)
    assert not list(plan.out.iterdir())


def test_it_begins_with_what_fits(plan_of: PlanOf, alone: Processes, watcher: Silent, tmp_path: Path) -> None:
    """A larger crop has other heads; the rest is taken over."""
    plan = plan_of({"epochs": 1})
    init = tmp_path / "init.safetensors"
    save_checkpoint(init, fresh_network(plan.recipe, 5), plan.recipe, trained=False)
    larger = replace(plan.recipe, crop=replace(plan.recipe.crop, width=64))
    train(replace(plan, recipe=larger, init=init), alone, watcher)
    assert "begins with" in watcher.notes[0]
    assert "fresh: head_x" in watcher.notes[0]


def test_weights_of_another_family_are_no_beginning(
    plan_of: PlanOf, alone: Processes, watcher: Silent, tmp_path: Path
) -> None:
    init = tmp_path / "eba.safetensors"
    from amfac_edge.declared.recipe import load_recipe  # noqa: PLC0415

    recipe = load_recipe("eba-prnetcc-r18-128x128")
    save_checkpoint(init, fresh_network(recipe, 0), recipe, trained=False)
    with pytest.raises(CheckpointError, match="fits tiny"):
        train(plan_of(init=init), alone, watcher)


def test_bf16_learns_too(plan_of: PlanOf, alone: Processes, watcher: Silent) -> None:
    train(plan_of({"epochs": 1}, precision="bf16"), alone, watcher)
    assert all(value.dtype != torch.bfloat16 for value in load_file(plan_of().out / LAST).values())
