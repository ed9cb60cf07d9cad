"""An author's own names: a TOML file is enough, and its mistakes are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from amfac_edge.errors import CheckpointError, DeclaredError
from amfac_edge.networks import load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.declared.recipe import Recipe

    State = dict[str, Tensor]

# The author calls the stages layer1..4 and the heads mlp_x and mlp_y, and has kept a loss among the weights.
AUTHORS = r"""
drop = ['^criterion\.', '\.grid$']

[keys]
"head.out.weight" = "final.weight"
"head.out.bias" = "final.bias"

[[rename]]
pattern = '^layer(\d)\.'
replacement = 'stage-\1.'

[[rename]]
pattern = '^stage-1'
replacement = 'stages.0'

[[rename]]
pattern = '^stage-2'
replacement = 'stages.1'

[[rename]]
pattern = '^stage-3'
replacement = 'stages.2'

[[rename]]
pattern = '^stage-4'
replacement = 'stages.3'

[[rename]]
pattern = '^mlp_([xy])'
replacement = 'head_\1'
"""


@pytest.fixture
def theirs(tmp_path: Path, state: State) -> Path:
    """A checkpoint with the author's names, wrapped in `module.`."""
    renamed: State = {"module.criterion.weight": torch.ones(17), "module.stem.grid": torch.ones(3, dtype=torch.int32)}
    for name, value in state.items():
        for number in range(4):
            if name.startswith(f"stages.{number}."):
                renamed[f"module.layer{number + 1}.{name[9:]}"] = value
        if not name.startswith("stages."):
            renamed[f"module.{name.replace('final.', 'head.out.').replace('head_', 'mlp_')}"] = value
    path = tmp_path / "theirs.pth"
    torch.save(renamed, path)
    return path


def key_map(folder: Path, text: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    return path


def test_names_and_patterns_are_applied_in_order(tmp_path: Path, tiny: Recipe, theirs: Path, state: State) -> None:
    loaded = load_checkpoint(theirs, recipe=tiny, key_map=key_map(tmp_path, AUTHORS))
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, state[name])


def test_without_the_map_it_does_not_fit(tiny: Recipe, theirs: Path) -> None:
    with pytest.raises(CheckpointError, match=r"1 of its entries can't be weights: stem\.grid is of the type int32"):
        load_checkpoint(theirs, recipe=tiny)


def test_what_a_map_leaves_over_is_listed(tmp_path: Path, tiny: Recipe, theirs: Path) -> None:
    text = AUTHORS.replace("'^criterion\\.', ", "")
    with pytest.raises(CheckpointError, match=r"1 unexpected: criterion\.weight \(17,\)"):
        load_checkpoint(theirs, recipe=tiny, key_map=key_map(tmp_path, text))


def test_exact_names_are_done_with(tmp_path: Path, tiny: Recipe, state: State) -> None:
    """A pattern that would match the new name doesn't touch it."""
    path = tmp_path / "a.pth"
    torch.save({("bias" if name == "final.bias" else name): value for name, value in state.items()}, path)
    text = '[keys]\nbias = "final.bias"\n[[rename]]\npattern = "^final"\nreplacement = "final"\n'
    loaded = load_checkpoint(path, recipe=tiny, key_map=key_map(tmp_path, text))
    assert torch.equal(loaded.network.state_dict()["final.bias"], state["final.bias"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[keys]\n"head.out.wieght" = "final.weight"',
            r"found in no key of .*theirs\.pth: head\.out\.wieght \(did you mean head\.out\.weight",
        ),
        (
            '[[rename]]\npattern = "^nothing"\nreplacement = ""',
            r"keys\.toml: found in no key of .*: pattern \^nothing\s+Mend or remove",
        ),
        ('drop = ["^none", "^neither"]', r"found in no key of .*: pattern \^none, pattern \^neither"),
        (
            "[[rename]]\npattern = '^mlp_[xy]'\nreplacement = 'head'",
            r"mlp_x\.hidden\.weight and mlp_y\.hidden\.weight would both become head\.hidden\.weight\s+Make .*",
        ),
        ('[keys]\n"head.out.bias" = "head.out.weight"', r"would both become head\.out\.weight"),
    ],
)
def test_maps_that_do_not_go_with_the_checkpoint(
    tmp_path: Path, tiny: Recipe, theirs: Path, text: str, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(theirs, recipe=tiny, key_map=key_map(tmp_path, text))


def test_faults_of_the_file_are_shown_together(tmp_path: Path, tiny: Recipe, theirs: Path) -> None:
    text = r"""
drop = ['(']
colour = 3
[keys]
head.out = "final"
mlp = 7
[[rename]]
pattern = '[a'
replacement = 'b'
[[rename]]
pattern = 'a'
replacement = '\3'
[[rename]]
replacement = 'b'
"""
    with pytest.raises(DeclaredError) as caught:
        load_checkpoint(theirs, recipe=tiny, key_map=key_map(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("keys.toml: 7 faults:")
    for fault in (
        "drop: '(' is not a regular expression: missing ), unterminated subpattern",
        "colour: unknown key",
        'keys.head: a name with dots must stand in quotes, "a.b" = "c.d"',
        "keys.mlp: expected a string, got 7",
        "rename[0].pattern: '[a' is not a regular expression: unterminated character set",
        "rename[1].replacement: '\\\\3' does not go with 'a': invalid group reference 3",
        "rename[2].pattern: this key is missing; expected a string",
    ):
        assert any(line.strip().startswith(fault) for line in lines), fault


@pytest.mark.parametrize(
    ("text", "message"),
    [("[keys", r"keys\.toml: not TOML: Expected ']'"), ("keys = 3", r"keys: expected a table, got 3")],
)
def test_files_that_are_no_key_map(tmp_path: Path, tiny: Recipe, theirs: Path, text: str, message: str) -> None:
    with pytest.raises(DeclaredError, match=message):
        load_checkpoint(theirs, recipe=tiny, key_map=key_map(tmp_path, text))


def test_a_key_map_that_is_not_there(tmp_path: Path, tiny: Recipe, theirs: Path) -> None:
    with pytest.raises(DeclaredError, match=r"absent\.toml: the TOML file does not exist"):
        load_checkpoint(theirs, recipe=tiny, key_map=tmp_path / "absent.toml")
