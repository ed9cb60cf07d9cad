"""What a training begins with: fresh weights, those of a checkpoint, or of another program's file under a key map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from amfac_edge.cli.train import main
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import CheckpointError
from amfac_edge.training.first_weights import first_weights

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
WIDTHS = (64, 128, 256, 512)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("eba-prnetcc-r18-128x128")


@pytest.fixture
def key_map(tmp_path: Path) -> Path:
    """The one of the docs."""
    found = re.search(r"```toml\n(drop = .*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "resnet.toml"
    path.write_text(found[1])
    return path


def resnet18() -> dict[str, Tensor]:
    """The state dict of torchvision's ResNet-18 by its names and shapes, with random values."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 512), "fc.bias": (1000,)}
    norms = {"bn1": 64}
    before = 64
    for stage, width in enumerate(WIDTHS, start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (width, before, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
            norms |= {f"{name}.bn1": width, f"{name}.bn2": width}
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                norms[f"{name}.downsample.1"] = width
            before = width
    for name, width in norms.items():
        shapes |= {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    torch.manual_seed(0)
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    return tensors | {f"{name}.num_batches_tracked": torch.tensor(7) for name in norms}


def test_a_published_resnet_begins_it(recipe: Recipe, key_map: Path, tmp_path: Path) -> None:
    theirs = resnet18()
    torch.save(theirs, tmp_path / "resnet18.pth")
    network, said = first_weights(recipe, 0, tmp_path / "resnet18.pth", key_map)
    fresh = first_weights(recipe, 0)[0].state_dict()
    ours = network.state_dict()
    taken = {name for name in ours if not torch.equal(ours[name], fresh[name])}
    # All of it but the classifier, and nothing else.
    assert len(taken) == len(theirs) - 2
    assert said.startswith(f"begins with {len(taken)} of {len(ours)} tensors of resnet18.pth; fresh: ")
    assert {name.split(".")[0] for name in taken} == {"stem", "stages"}
    assert not [name for name in taken if "attention" in name]
    assert torch.equal(ours["stem.0.0.weight"], theirs["conv1.weight"])
    assert torch.equal(ours["stages.3.0.convs.1.1.running_var"], theirs["layer4.0.bn2.running_var"])
    assert torch.equal(ours["stages.1.0.shortcut.0.weight"], theirs["layer2.0.downsample.0.weight"])


def test_half_precision_is_taken_as_float32(recipe: Recipe, key_map: Path, tmp_path: Path) -> None:
    theirs = {name: value.half() if value.is_floating_point() else value for name, value in resnet18().items()}
    torch.save(theirs, tmp_path / "resnet18.pth")
    ours = first_weights(recipe, 0, tmp_path / "resnet18.pth", key_map)[0].state_dict()
    assert torch.equal(ours["stem.0.0.weight"], theirs["conv1.weight"].float())
    assert {value.dtype for value in ours.values()} == {torch.float32, torch.int64}


def test_what_can_not_begin_it(recipe: Recipe, key_map: Path, tmp_path: Path) -> None:
    theirs = resnet18()
    path = tmp_path / "theirs.pth"
    theirs["layer1.0.bn1.running_var"][3] = -1.0
    torch.save(theirs, path)
    with pytest.raises(CheckpointError, match=r"theirs.pth: 1 of its tensors have .* a negative variance"):
        first_weights(recipe, 0, path, key_map)
    torch.save({"fc.weight": torch.rand(2, 2), "body.weight": torch.rand(2, 2)}, path)
    with pytest.raises(CheckpointError, match=r"resnet.toml: found in no key of .*theirs.pth"):
        first_weights(recipe, 0, path, key_map)
    key_map.write_text('drop = ["fc"]')
    with pytest.raises(CheckpointError, match=r"none of its weights fits eba-prnetcc-r18-128x128"):
        first_weights(recipe, 0, path, key_map)
    with pytest.raises(CheckpointError, match=r"its weights fit no declared recipe"):
        first_weights(recipe, 0, path)


def test_a_key_map_without_a_checkpoint_is_refused(
    key_map: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eba-prnetcc-r18-128x128", "--data", "generated:16", "--out", str(tmp_path / "out")]
    assert main([*words, "--key-map", str(key_map)]) == 2
    assert "there are no keys to rename" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
