"""The score's calibration in a checkpoint: it comes back, it belongs to its weights, and it is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from amfac_edge.errors import CheckpointError, InputError
from amfac_edge.keypoints import ScoreCalibration
from amfac_edge.networks import (
    build_network,
    copy_checkpoint,
    describe_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from amfac_edge.networks.checkpoint_file import read_checkpoint_file

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.declared.recipe import Recipe


@pytest.fixture
def plain(tmp_path: Path, tiny: Recipe) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "plain.pth"
    save_checkpoint(path, build_network(tiny).eval(), tiny, trained=False, extra={"epoch": 3})
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_copy_has_the_same_weights_and_the_calibration(plain: Path, tmp_path: Path, suffix: str) -> None:
    before = load_checkpoint(plain)
    assert before.score_calibration is None
    calibration = ScoreCalibration(0.7, 3.0, 9.5, before.metadata["weights_sha256"], {"data": "made"})
    path = tmp_path / f"calibrated{suffix}"
    copy_checkpoint(plain, path, {"score_calibration": calibration.as_json()})
    after = load_checkpoint(path)
    assert after.score_calibration == calibration
    assert "score_calibration" not in after.metadata
    assert (after.recipe, after.trained, after.metadata["epoch"]) == (before.recipe, False, 3)
    assert after.metadata["weights_sha256"] == before.metadata["weights_sha256"]


def test_half_precision_weights_stay_so(plain: Path, tmp_path: Path, tiny: Recipe) -> None:
    halves = tmp_path / "halves.pth"
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_checkpoint(plain).network.state_dict().items()
    }
    torch.save({"state_dict": state}, halves)
    copy_checkpoint(halves, tmp_path / "copy.safetensors", {}, recipe=tiny)
    entries = read_checkpoint_file(tmp_path / "copy.safetensors").entries
    assert all(torch.equal(entries[name], value) for name, value in state.items())  # type: ignore[arg-type]
    assert torch.float16 in {value.dtype for value in state.values()}
    copy_checkpoint(tmp_path / "copy.safetensors", tmp_path / "again.pth", {})
    assert (tmp_path / "again.pth").stat().st_size < 1.2 * halves.stat().st_size


def test_a_calibration_of_other_weights_is_refused(plain: Path, tmp_path: Path) -> None:
    other = ScoreCalibration(1, 1, 0, "ab" * 32)
    copy_checkpoint(plain, tmp_path / "c.pth", {"score_calibration": other.as_json()})
    with pytest.raises(CheckpointError, match=r"was fitted for the weights abababababababab, it has .*\n.*fit it anew"):
        load_checkpoint(tmp_path / "c.pth")


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "platt", "slope": -3, "intercept": 0, "temperature": 1},
        {"kind": "platt", "slope": 1e30, "intercept": 0, "temperature": 1},
        {"kind": "spline"},
        "x" * 200_000,
        [[[]]],
    ],
)
def test_a_hostile_one_is_refused(plain: Path, tmp_path: Path, block: Any) -> None:  # noqa: ANN401 - anybody's
    copy_checkpoint(plain, tmp_path / "c.safetensors", {"score_calibration": block})
    with pytest.raises(CheckpointError, match=r"c\.safetensors: amfac\.score_calibration: .*") as caught:
        load_checkpoint(tmp_path / "c.safetensors")
    assert len(str(caught.value)) < 800


def test_nan_is_not_even_written(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its extra facts are not JSON"):
        copy_checkpoint(plain, tmp_path / "c.pth", {"score_calibration": {"slope": float("nan")}})
    assert not (tmp_path / "c.pth").exists()


def test_a_description_shows_it(plain: Path, tmp_path: Path) -> None:
    assert describe_checkpoint(plain)["score_calibration"] is None
    block = ScoreCalibration(0.7, 3.0, 9.5, "", {"data": "made"}).as_json()
    copy_checkpoint(plain, tmp_path / "c.pth", {"score_calibration": block})
    assert describe_checkpoint(tmp_path / "c.pth")["score_calibration"] == block
    # A further copy keeps it.
    copy_checkpoint(tmp_path / "c.pth", tmp_path / "d.pth", {})
    assert describe_checkpoint(tmp_path / "d.pth")["score_calibration"] == block


def test_halves_are_other_weights(plain: Path, tmp_path: Path) -> None:
    block = ScoreCalibration(0.7, 3.0, 9.5, load_checkpoint(plain).metadata["weights_sha256"]).as_json()
    copy_checkpoint(plain, tmp_path / "c.pth", {"score_calibration": block})
    with pytest.raises(InputError, match=r"was calibrated for its weights as they are\n.*then calibrate"):
        copy_checkpoint(tmp_path / "c.pth", tmp_path / "halves.pth", {}, halved=True)
    copy_checkpoint(plain, tmp_path / "halves.pth", {}, halved=True)
    assert load_checkpoint(tmp_path / "halves.pth").score_calibration is None


def test_renamed_keys_are_the_same_weights(plain: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(plain)
    state = {f"author.{name}": value for name, value in loaded.network.state_dict().items()}
    block = ScoreCalibration(0.7, 3.0, 9.5, "ab" * 32).as_json()
    facts = {"schema": "amfac-checkpoint/1", "recipe": loaded.recipe.as_json(), "score_calibration": block}
    torch.save({"state_dict": state, "amfac": facts}, tmp_path / "author.pth")
    key_map = tmp_path / "map.toml"
    key_map.write_text("[[rename]]\npattern = '^author\\.'\nreplacement = ''\n")
    copy_checkpoint(tmp_path / "author.pth", tmp_path / "ours.pth", {}, key_map=key_map)
    calibration = load_checkpoint(tmp_path / "ours.pth").score_calibration
    assert calibration == ScoreCalibration(0.7, 3.0, 9.5, loaded.metadata["weights_sha256"])
