"""A training's state: written whole or not at all, read back bit for bit, and never believed unchecked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

from amfac_edge.declared.training_fields import OptimizationRule
from amfac_edge.errors import CheckpointError, InputError, OutputError
from amfac_edge.training.optimization import averaged_network, make_optimizer
from amfac_edge.training.states import Progress, load_state, save_state

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, Any] = {"recipe": {"name": "tiny"}, "seed": 3}
RULE = OptimizationRule(lr=0.01)


class Parts:
    """A network of two layers, its optimizer and its average, after some steps."""

    def __init__(self, steps: int = 0, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.network, RULE)
        self.average = averaged_network(self.network, 0.9)
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.network(torch.ones(2, 3, 4, 4)).square().sum().backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)

    def save(self, path: Path, progress: Progress | None = None) -> None:
        save_state(path, progress or Progress(), SETTINGS, self.network, self.optimizer, self.average)

    def load(self, path: Path, settings: dict[str, Any] | None = None) -> Progress:
        return load_state(path, settings or SETTINGS, self.network, self.optimizer, self.average)


def test_what_goes_on_is_what_never_stopped(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    whole = Parts(steps=3)
    stopped = Parts(steps=2)
    stopped.save(path)
    resumed = Parts(seed=7)
    resumed.load(path)
    resumed.step()
    for one, other in ((whole.network, resumed.network), (whole.average, resumed.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_the_progress_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    progress = Progress(4, 17, 0.1 + 0.2, 99, 0.731, [{"epoch": 1, "loss": 1 / 3}], {"scale": 65536.0})
    Parts().save(path, progress)
    assert Parts().load(path) == progress
    Parts().save(path, Progress())
    assert Parts().load(path) == Progress()


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    Parts().save(path)
    with pytest.raises(InputError, match=r"seed was 3, now 4\n") as raised:
        Parts().load(path, SETTINGS | {"seed": 4})
    assert "--init" in raised.value.cure
    with pytest.raises(InputError, match=r"began with: recipe.name was \"tiny\", now \"other\"\n"):
        Parts().load(path, SETTINGS | {"recipe": {"name": "other"}})


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    Parts().save(path)
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    with pytest.raises(CheckpointError, match="is the state of another network"):
        load_state(path, SETTINGS, other, make_optimizer(other, RULE), None)


def changed(path: Path, tensors: dict[str, torch.Tensor] | None = None, **block: object) -> None:
    found = load_file(path)
    plain = {"schema": "amfac-training/1", "settings": SETTINGS, "progress": {}}
    path.write_bytes(save(found | (tensors or {}), metadata={"amfac": json.dumps(plain | block)}))


def test_hostile_states_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    whole = {"epoch": 0, "batch": 0, "loss_sum": 0, "steps": 1, "history": [], "scale": {}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"schema": "amfac-checkpoint/1"}, "is not the state of a training"),
        ({"progress": whole | {"epoch": -1}}, "epoch: -1 is not within"),
        ({"progress": whole | {"loss_sum": "much"}}, "loss_sum: "),
        ({"progress": whole | {"history": {"epoch": 1}}}, "history: is no list"),
        ({"progress": None}, "expected a table"),
        ({"progress": whole, "tensors": {"adam/0.weight/exp_avg": torch.zeros(2)}}, "the moments of 0.weight"),
        ({"progress": whole, "tensors": {"adam/0.weight/other": torch.zeros(4, 3, 3, 3)}}, "the moments of 0.weight"),
    ]
    for case, problem in cases:
        Parts(steps=1).save(path)
        changed(path, **case)
        with pytest.raises((CheckpointError, InputError), match=problem):
            Parts().load(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        Parts().load(path)


def test_a_full_disk_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    Parts(steps=1).save(path)
    before = path.read_bytes()

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amfac_edge.files._flush_to_disk", full)
    with pytest.raises(OutputError, match="No space left on device"):
        Parts(steps=2).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


_SAVER = """
import sys, torch
from pathlib import Path
from torch import nn
from amfac_edge.declared.training_fields import OptimizationRule
from amfac_edge.training.optimization import make_optimizer
from amfac_edge.training.states import Progress, save_state
network = nn.Linear(2000, 1000)
optimizer = make_optimizer(network, OptimizationRule())
for steps in range(100_000):
    save_state(Path(sys.argv[1]), Progress(steps=steps), {}, network, optimizer, None)
    print(steps, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_during_a_save_leaves_a_whole_state(tmp_path: Path) -> None:
    """Eight megabytes a save, killed at another moment each time: what is there is whole, the last or the next."""
    path = tmp_path / "state.safetensors"
    for attempt in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", _SAVER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + 0.037 * attempt)
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        network = nn.Linear(2000, 1000)
        progress = load_state(path, {}, network, make_optimizer(network, OptimizationRule()), None)
        assert progress.steps in {int(said[-1]) if said else 0, int(said[-1]) + 1 if said else 1}
