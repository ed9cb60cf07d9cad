"""The stand-ins have nothing that the recorded bindings of their version lack."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

RECORD = json.loads((Path(__file__).parents[1] / "facts" / "tensorrt_api.json").read_text())


def load_fakes() -> Any:  # noqa: ANN401
    spec = importlib.util.spec_from_file_location("fake_tensorrt", Path(__file__).with_name("fake_tensorrt.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names_of(owner: str, version: str) -> set[str]:
    groups = RECORD["names"].get(owner, {})
    return {
        name
        for versions, names in groups.items()
        if versions == "all" or version in versions.split()
        for name in names.split()
    }


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "10.16.1.11", "11.4.0.106"])
def test_a_stand_in_has_what_its_version_has(version: str) -> None:
    module = load_fakes().bindings(version)
    ours = {name: value for name, value in vars(module).items() if name not in {"__version__", "record"}}
    assert ours.keys() <= names_of("", version)
    for owner, value in ours.items():
        members = {name for name in dir(value) if not name.startswith("_")}
        if owner == "ITimingCache":
            members -= {"content"}
        if owner == "NetworkDefinitionCreationFlag":
            members = set(value.__members__)
        assert members - {"Severity"} <= names_of(owner, version), owner
