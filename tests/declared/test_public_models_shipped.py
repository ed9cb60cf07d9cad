"""Every entry of `export/fetch/` loads, says on which terms, and claims no more than was seen."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.public_model import load_public_model, public_model_names
from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.errors import DeclaredError
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

NAMES = public_model_names()
# Seen here: name of the entry, file in the folder of real data.
SEEN = {"rtmdet-nano-person": "models/rtmdet_nano_person.onnx"}
WITHOUT_DIGEST = {"rtmpose-m-384x288"}


def test_both_kinds_are_there() -> None:
    kinds = [load_public_model(name).kind for name in NAMES]
    assert kinds.count("pose") >= 5
    assert {name.split("-")[0] for name in NAMES} == {"rtmpose", "rtmdet", "yolox"}


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_complete(name: str) -> None:
    model = load_public_model(name)
    address = urlsplit(model.url)
    assert (address.scheme, address.query, address.fragment) == ("https", "", "")
    assert address.path.endswith(".zip" if model.member else ".onnx")
    assert model.licence == "Apache-2.0"
    assert urlsplit(model.licence_source).scheme == "https"
    assert bool(model.model.sha256) == (name not in WITHOUT_DIGEST)
    assert dt.date.fromisoformat(model.verified.date) >= dt.date(2026, 11, 21)
    assert model.title


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("rtmpose-")])
def test_a_pose_model_has_its_recipe(name: str) -> None:
    model = load_public_model(name)
    recipe = load_recipe(model.recipe)
    assert model.recipe in recipe_names()
    assert recipe.family == "simcc-onnx"
    size = f"{recipe.crop.height}x{recipe.crop.width}"
    assert name.endswith(f"-{size}")
    assert f"-{size}-" in model.url
    assert f"/{name.removesuffix(f'-{size}')}_simcc-" in model.url


@pytest.mark.parametrize("name", NAMES)
def test_only_what_was_seen_is_called_so(name: str) -> None:
    verified = load_public_model(name).verified
    assert (verified.file, verified.address) == (name in SEEN, False)
    assert "address was" in verified.what


@pytest.mark.parametrize("name", SEEN)
def test_what_was_seen_is_what_the_entry_says(name: str, shared_data: Path) -> None:
    model, path = load_public_model(name), shared_data / SEEN[name]
    assert (model.model.size, model.model.sha256) == (path.stat().st_size, sha256_of(path))


@pytest.mark.parametrize("path", sorted(declared_folder("export/fetch").glob("*.toml")), ids=lambda path: path.stem)
def test_an_entry_begins_with_its_source(path: Path) -> None:
    assert "arXiv 2" in path.read_text().splitlines()[0]


def test_a_near_name_is_shown() -> None:
    with pytest.raises(DeclaredError, match=r'unknown public model "rtmpose-s"\s+did you mean .*rtmpose-s-256x192'):
        load_public_model("rtmpose-s")
