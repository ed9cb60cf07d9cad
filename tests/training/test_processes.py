"""Two processes of torchrun against one, and what goes wrong with devices."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from amfac_edge.errors import InputError, MachineError
from amfac_edge.networks import load_checkpoint
from amfac_edge.training import Processes, joined_processes
from amfac_edge.training.validation import held_out_score

if TYPE_CHECKING:
    from types import ModuleType

ALONE = Processes(0, 1, torch.device("cpu"))
SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Path:
    """Where two processes, joined by gloo over the loopback address, have left what they saw."""
    path = tmp_path_factory.mktemp("two")
    (path / "recipe.toml").write_text(tiny_recipe.read_text())
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT), str(path)]
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return path


@pytest.mark.parametrize("mean_over", ["all", "labelled"])
def test_the_gradient_is_that_of_the_whole_batch(mean_over: str, folder: Path, script: ModuleType) -> None:
    recipe = script.recipes(folder / "recipe.toml")[mean_over]
    whole = script.frozen_gradients(recipe, ALONE, slice(0, 8))
    shared = load_file(folder / f"{mean_over}.safetensors")
    assert shared.keys() == whole.keys()
    for name, gradient in whole.items():
        # float32 sums over the same terms in another order.
        assert torch.allclose(shared[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max())), name


def test_the_parameters_stay_equal(folder: Path) -> None:
    one, other = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert len(one["parameters"]) == 4  # two epochs of two batches
    assert one["parameters"] == other["parameters"]
    assert len(set(one["parameters"])) == 4


def test_no_thread_of_the_group_outlives_it(folder: Path) -> None:
    # One that does can abort the process when the interpreter ends.
    for rank in (0, 1):
        threads = json.loads((folder / f"rank{rank}.json").read_text())["threads"]
        assert not [name for name in threads if "gloo" in name]


def test_a_shared_score_is_the_score(folder: Path, script: ModuleType) -> None:
    recipe = script.recipes(folder / "recipe.toml")["all"]
    plan = script.plan(recipe, folder / "out")
    network = load_checkpoint(folder / "out" / "last.safetensors").network
    alone = held_out_score(network, plan.recipe, plan.held_out, ALONE)
    for rank in (0, 1):
        last = json.loads((folder / f"rank{rank}.json").read_text())["history"][-1]
        assert {name: last[name] for name in alone} == alone


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--device gpu: no such device"), joined_processes("gpu"):
        pass
    with pytest.raises(InputError, match="--device meta: training runs on cpu or cuda"), joined_processes("meta"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MachineError, match="torch sees 0 GPUs"), joined_processes("cuda"):
        pass


def test_a_damaged_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match="WORLD_SIZE=two"), joined_processes("cpu"):
        pass


def test_one_process_needs_nobody() -> None:
    with joined_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.is_first) == (0, 1, True)
        assert processes.gather({"a": 1}) == [{"a": 1}]
        assert processes.total(torch.tensor(3.0)) == 3
