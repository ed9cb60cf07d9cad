"""Checkpoints as people have them: every layout gives the same network, and the recipe is found."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from amfac_edge.declared.recipe import ForeignNetwork, Recipe, load_recipe, recipe_names
from amfac_edge.errors import CheckpointError, InputError, OutputError
from amfac_edge.networks import (
    LoadedCheckpoint,
    build_network,
    checkpoint_fit,
    describe_checkpoint,
    load_checkpoint,
    save_checkpoint,
    weights_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.networks.conftest import MakeRecipe

    State = dict[str, Tensor]

SUFFIXES = (".pth", ".pt", ".safetensors")


def filled(recipe: Recipe, state: State) -> nn.Module:
    network = build_network(recipe)
    network.load_state_dict(state)
    return network.eval()


def assert_has_weights(loaded: LoadedCheckpoint, state: State) -> None:
    network = loaded.network.state_dict()
    assert network.keys() == state.keys()
    assert all(torch.equal(network[name], state[name]) for name in state)
    assert not loaded.network.training


def saved(folder: Path, data: object, **options: Any) -> Path:  # noqa: ANN401 - of torch.save
    path = folder / "model.pth"
    torch.save(data, path, **options)
    return path


# ------------------------------------------------------------------------------------------------------ there and back


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("trained", [True, False, None])
def test_what_is_saved_comes_back(
    tmp_path: Path, tiny: Recipe, state: State, suffix: str, *, trained: bool | None
) -> None:
    path = tmp_path / f"model{suffix}"
    extra = {"remarks": {"a": [1.5, 2.0]}, "epoch": 3}
    digest = save_checkpoint(path, filled(tiny, state), tiny, trained=trained, extra=extra)
    loaded = load_checkpoint(path)
    assert_has_weights(loaded, state)
    assert (loaded.recipe, loaded.trained) == (tiny, trained)
    assert loaded.metadata["remarks"] == {"a": [1.5, 2.0]}
    assert loaded.metadata["recipe_from"] == "file"
    assert loaded.metadata["skeleton"]["joints"][0] == "nose"
    assert loaded.metadata["version"]
    assert loaded.metadata["weights_sha256"] == digest == weights_digest(state)
    crops = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(loaded.network(crops), filled(tiny, state)(crops), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_weights_make_the_same_file(tmp_path: Path, tiny: Recipe, state: State, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        save_checkpoint(path, filled(tiny, state), tiny, trained=False)
    assert first.read_bytes() == second.read_bytes()
    assert load_checkpoint(first).sha256 == load_checkpoint(second).sha256


@pytest.mark.parametrize("wrap", [nn.DataParallel, functools.partial(torch.compile, backend="eager")])
def test_a_wrapped_network_is_saved_without_its_wrapper(
    tmp_path: Path, tiny: Recipe, state: State, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    save_checkpoint(tmp_path / "a.pth", wrap(filled(tiny, state)), tiny, trained=True)
    assert torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"].keys() == state.keys()  # noqa: TID251


def test_a_network_is_not_saved_under_another_recipe(tmp_path: Path, tiny: Recipe, make_recipe: MakeRecipe) -> None:
    with pytest.raises(CheckpointError, match=r"don't fit the recipe wide that it was to be saved with"):
        save_checkpoint(tmp_path / "a.pth", build_network(tiny), make_recipe(name="wide", hidden=9), trained=None)
    assert not list(tmp_path.iterdir())


def test_a_place_that_can_not_be_written_to(tmp_path: Path, tiny: Recipe) -> None:
    with pytest.raises(OutputError, match=r"absent/a\.pth: can't be written"):
        save_checkpoint(tmp_path / "absent" / "a.pth", build_network(tiny), tiny, trained=None)


def test_unknown_suffixes_and_facts_that_are_not_json_are_refused(tmp_path: Path, tiny: Recipe) -> None:
    network = build_network(tiny)
    with pytest.raises(InputError, match=r"a\.bin: no checkpoint format has the suffix \.bin\s+Name the file \.pth"):
        save_checkpoint(tmp_path / "a.bin", network, tiny, trained=None)
    with pytest.raises(InputError, match=r"a\.pth: its extra facts are not JSON: .*\s+Use plain numbers"):
        save_checkpoint(tmp_path / "a.pth", network, tiny, trained=None, extra={"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_loaded_network_does_not_hang_on_its_file(tmp_path: Path, tiny: Recipe, state: State) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, filled(tiny, state), tiny, trained=None)
    loaded = load_checkpoint(path)
    with path.open("r+b") as stream:
        stream.write(b"\0" * path.stat().st_size)
    assert_has_weights(loaded, state)


# ------------------------------------------------------------------------------------------------------------- layouts


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, tuple[Callable[[State], object], str]] = {
    "bare": (lambda state: state, ""),
    "state_dict": (lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, "state_dict"),
    "model": (lambda state: {"model": state}, "model"),
    "model_state_dict": (lambda state: {"model_state_dict": state, "loss": torch.tensor(0.5)}, "model_state_dict"),
    "nested": (lambda state: {"model": {"state_dict": state}}, "model.state_dict"),
    "the name of a model beside": (lambda state: {"model": "pose_resnet", "state_dict": state}, "state_dict"),
    "module.": (lambda state: prefixed(state, "module."), ""),
    "model.": (lambda state: {"state_dict": prefixed(state, "model.")}, "state_dict"),
    "_orig_mod.": (lambda state: prefixed(state, "_orig_mod."), ""),
    "all three, twice": (lambda state: prefixed(state, "_orig_mod.module.model.module."), ""),
    "compiled inside": (lambda state: {k.replace("stages.", "stages._orig_mod."): v for k, v in state.items()}, ""),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts(tmp_path: Path, tiny: Recipe, state: State, layout: str) -> None:
    make, entry = LAYOUTS[layout]
    loaded = load_checkpoint(saved(tmp_path, make(state)), recipe=tiny)
    assert_has_weights(loaded, state)
    assert loaded.metadata["weights"] == entry
    assert (loaded.trained, loaded.metadata["recipe_from"]) == (None, "argument")


def test_files_of_torch_before_1_6(tmp_path: Path, tiny: Recipe, state: State) -> None:
    path = saved(tmp_path, {"state_dict": state}, _use_new_zipfile_serialization=False)
    assert_has_weights(load_checkpoint(path, recipe=tiny), state)
    assert describe_checkpoint(path)["format"] == "torch before 1.6"


@pytest.mark.parametrize("entry", ["state_dict_ema", "ema", "model_ema", "ema_model", "ema_state_dict"])
def test_an_average_is_preferred(tmp_path: Path, tiny: Recipe, state: State, entry: str) -> None:
    last = {name: torch.zeros_like(value) for name, value in state.items()}
    path = saved(tmp_path, {"state_dict": last, entry: {"module": prefixed(state, "module.")}})
    loaded = load_checkpoint(path, recipe=tiny)
    assert_has_weights(loaded, state)
    assert loaded.metadata["weights"] == f"{entry}.module"


def test_an_average_without_statistics_takes_those_beside_it(tmp_path: Path, tiny: Recipe, state: State) -> None:
    buffers = {name for name, _ in build_network(tiny).named_buffers()}
    last = {name: value if name in buffers else torch.zeros_like(value) for name, value in state.items()}
    average = {name: value for name, value in state.items() if name not in buffers}
    path = saved(tmp_path, {"model": last, "ema": {"decay": 0.999, "shadow": average}})
    assert_has_weights(load_checkpoint(path, recipe=tiny), state)


def test_counters_of_an_average_are_left_out(tmp_path: Path, tiny: Recipe, state: State) -> None:
    averaged = AveragedModel(filled(tiny, state))
    assert_has_weights(load_checkpoint(saved(tmp_path, {"ema": averaged.state_dict()}), recipe=tiny), state)


def test_openmmlab_saves_the_average_as_state_dict(tmp_path: Path, tiny: Recipe, state: State) -> None:
    last = {name: torch.zeros_like(value) for name, value in state.items()}
    path = saved(tmp_path, {"meta": {"epoch": 3}, "state_dict": state, "ema_state_dict": prefixed(last, "module.")})
    loaded = load_checkpoint(path, recipe=tiny)
    assert_has_weights(loaded, state)
    assert loaded.metadata["weights"] == "state_dict"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_float_types_become_float32(
    tmp_path: Path, tiny: Recipe, state: State, dtype: torch.dtype, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    save_checkpoint(path, filled(tiny, state).to(dtype), tiny, trained=None)
    rounded = {name: value.to(dtype).float() if value.is_floating_point() else value for name, value in state.items()}
    assert_has_weights(load_checkpoint(path), rounded)
    assert describe_checkpoint(path)["types"] == sorted(["int64", str(dtype).removeprefix("torch.")])


def test_counts_of_batches_may_be_absent(tmp_path: Path, tiny: Recipe, state: State) -> None:
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    loaded = load_checkpoint(saved(tmp_path, old), recipe=tiny)
    zeros = {name: value if name in old else torch.tensor(0) for name, value in state.items()}
    assert_has_weights(loaded, zeros)


def test_axes_of_size_one_are_no_difference(tmp_path: Path, tiny: Recipe, state: State) -> None:
    """An author's squeeze-and-excitation of linear layers, and a coordinate scale of shape (1,)."""
    theirs = {
        name: value[:, :, 0, 0] if name.endswith(("squeeze.weight", "excite.weight")) else value
        for name, value in state.items()
    }
    theirs["stem.0.0.scale_x"] = state["stem.0.0.scale_x"].view(1)
    assert_has_weights(load_checkpoint(saved(tmp_path, theirs), recipe=tiny), state)


# ---------------------------------------------------------------------------------------------------------- the recipe


OWN = [name for name in recipe_names() if not isinstance(load_recipe(name).network, ForeignNetwork)]


@pytest.mark.parametrize("name", OWN)
def test_every_shipped_recipe_is_found_by_its_weights(name: str) -> None:
    recipe = load_recipe(name)
    assert checkpoint_fit.fitting_recipes(checkpoint_fit.expected_shapes(recipe)) == [recipe]


def test_the_recipe_is_inferred(tmp_path: Path) -> None:
    network = build_network("amfacpose-r18-128x128")
    loaded = load_checkpoint(saved(tmp_path, network.state_dict()))
    assert loaded.recipe == load_recipe("amfacpose-r18-128x128")
    assert loaded.metadata["recipe_from"] == "weights"


def test_the_number_of_joints_tells_a_crowdpose_checkpoint_from_a_coco_one(tmp_path: Path) -> None:
    network = build_network("amfacpose-r18-128x128-crowdpose")
    loaded = load_checkpoint(saved(tmp_path, network.state_dict()))
    assert (loaded.recipe.name, loaded.recipe.skeleton) == ("amfacpose-r18-128x128-crowdpose", "crowdpose-14")


def test_recipes_that_weights_can_not_tell_apart(
    tmp_path: Path, state: State, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = [make_recipe(name="cold", temperature=0.5), make_recipe(name="hot", temperature=2.0)]
    monkeypatch.setattr(checkpoint_fit, "_declared", lambda: twins)
    path = saved(tmp_path, state)
    with pytest.raises(CheckpointError, match=r"model\.pth: its weights fit 2 recipes .*: cold, hot\s+.*--recipe cold"):
        load_checkpoint(path)
    assert load_checkpoint(path, recipe=twins[1]).recipe.temperature == 2.0
    assert describe_checkpoint(path)["recipes"] == ["cold", "hot"]


def test_a_recipe_that_is_given_beats_the_one_in_the_file(tmp_path: Path, tiny: Recipe, state: State) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, filled(tiny, state), tiny, trained=True)
    given = dataclasses.replace(tiny, name="given", temperature=3.0)
    loaded = load_checkpoint(path, recipe=given)
    assert (loaded.recipe, loaded.trained, loaded.metadata["recipe_from"]) == (given, True, "argument")


def test_a_given_recipe_that_does_not_fit_is_refused_with_the_one_that_does(tmp_path: Path) -> None:
    path = saved(tmp_path, build_network("amfacpose-r18-128x128").state_dict())
    message = (
        r"model\.pth: its weights don't fit the recipe amfacpose-r18-256x256 that was given:\s+"
        r"6 of another shape: head_x\.hidden\.weight \(256, 64\), expected \(256, 256\), .*"
        r"\s+Its weights fit amfacpose-r18-128x128: give --recipe amfacpose-r18-128x128\."
    )
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, recipe=load_recipe("amfacpose-r18-256x256"))


def test_differences_from_the_nearest_recipe_are_listed(tmp_path: Path) -> None:
    state = build_network("amfacpose-r18-128x128").state_dict()
    del state["final.bias"]
    state["final.weight"] = torch.zeros(15, 384, 3, 3)
    state["auxiliary.weight"] = torch.zeros(2, 3)
    message = (
        r"fit no declared recipe; the nearest is amfacpose-r18-128x128:"
        r"\s+1 missing: final\.bias \(17,\)"
        r"\s+1 unexpected: auxiliary\.weight \(2, 3\)"
        r"\s+1 of another shape: final\.weight \(15, 384, 3, 3\), expected \(17, 384, 3, 3\)"
        r"\s+Rename an author's keys with --key-map, or describe the network in a TOML of your own"
    )
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved(tmp_path, state))


def test_long_lists_of_differences_are_cut(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"\d{3} missing: ([^,]+ \([\d, ]*\), ){7}[^,]+ \([\d, ]*\) and \d{3} more"
    ):
        load_checkpoint(saved(tmp_path, {"weight": torch.zeros(3)}))


# ------------------------------------------------------------------------------------------------------------ describe


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_describe_our_own(tmp_path: Path, tiny: Recipe, state: State, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    network = filled(tiny, state)
    digest = save_checkpoint(path, network, tiny, trained=False)
    described = describe_checkpoint(path)
    assert json.loads(json.dumps(described)) == described
    assert described["kind"] == "checkpoint"
    assert (described["recipe"], described["recipes"], described["misfit"]) == ("tiny", [], "")
    assert (described["trained"], described["weights_sha256"]) == (False, digest)
    assert described["tensors"] == len(state) == len(described["keys"])
    assert described["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert described["sha256"] == load_checkpoint(path).sha256


def test_describe_shows_what_can_not_be_weights(tmp_path: Path, state: State) -> None:
    """An author who writes a key map needs the names before anything loads."""
    described = describe_checkpoint(saved(tmp_path, {**state, "grid": torch.zeros(2, dtype=torch.int32), "note": "x"}))
    assert described["unusable"] == ["grid is of the type int32", "note is of the type str, not a tensor"]
    assert described["tensors"] == len(state)


def test_describe_a_strangers(tmp_path: Path, state: State) -> None:
    described = describe_checkpoint(saved(tmp_path, {"ema": state, "model": state}))
    assert (described["recipe"], described["recipes"], described["weights"]) == (None, [], "ema")
    assert described["keys"]["final.bias"] == [17]
