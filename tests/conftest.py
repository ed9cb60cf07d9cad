"""Fixtures that several rooms share."""

from __future__ import annotations

import importlib.util
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import amfac_edge  # noqa: F401 - before any test imports onnxruntime: its telemetry is switched off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from tests.fake_root import FakeRoot

# Who starts the tests in the background has told them, and with them every command they run, not to hear Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY_RECIPE = """
schema = "amfac-recipe/1"
name = "tiny"
family = "amfacpose"
skeleton = "coco-17"
[input]
height = 64
width = 48
[simcc]
temperature = 0.8
[network]
backbone = "resnet18"
stem_channels = [8, 8, 8]
stage_channels = [8, 16, 16, 16]
afpn_width = 8
hidden = 16
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and videos that lies beside some checkouts and is no part of the project."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data beside this checkout ({folder})")
    return folder


@pytest.fixture(scope="session")
def markers() -> ModuleType:
    """The module `marker_artefact.py`: a network with an answer known by hand."""
    return _module("marker_artefact")


@pytest.fixture(scope="session")
def made_frame_network() -> ModuleType:
    """The module `made_frame_network.py`: a network of whole frames with an answer known by hand."""
    return _module("made_frame_network")


@pytest.fixture(scope="session")
def made_rtsp() -> ModuleType:
    """The module `made_rtsp.py`: a network camera on the loopback address; skips where there is no server."""
    module = _module("made_rtsp")
    if reason := module.missing():
        pytest.skip(reason)
    return module


@pytest.fixture(scope="session")
def made_plans() -> ModuleType:
    """The module `made_plans.py`: plans with the heads and manifests of real ones."""
    return _module("made_plans")


@pytest.fixture(scope="session")
def made_detectors() -> ModuleType:
    """The module `made_detectors.py`: small detectors of both families, with answers known by hand."""
    return _module("made_detectors")


@pytest.fixture(scope="session")
def cell_detector() -> ModuleType:
    """The module `made_cell_detector.py`: an artefact of a detector with an answer known by hand."""
    return _module("made_cell_detector")


def _module(name: str) -> ModuleType:
    # Test folders are no packages, so its path is what it can be found by.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands wrap their lines to the terminal; whose it is must not decide what a test sees."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a user's cache holds must not decide what a test sees, nor a test fill it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small AMFACPose: its export takes seconds."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture
def fake_root(tmp_path: Path) -> FakeRoot:
    """A machine that was never there."""
    root = tmp_path / "root"
    root.mkdir()
    made: FakeRoot = _module("fake_root").FakeRoot(root)
    return made


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., list[str]]:
    """Makes a folder of packages: `site(onnx="1.19", ...)`; a dash is written as two underscores."""

    def make(*bare: str, **versions: str) -> list[str]:
        modules = {"opencv": "cv2", "onnxruntime": "onnxruntime", "cuda": "cuda", "tensorrt_rtx": "tensorrt_rtx"}
        folder = tmp_path / "site"
        # As a whole installation has it; a kit's board hasn't.
        record = folder / "amfac_edge-0.1.0.dist-info"
        record.mkdir(parents=True, exist_ok=True)
        (record / "METADATA").write_text("Metadata-Version: 2.1\nName: amfac-edge\nVersion: 0.1.0\n")
        for key, version in versions.items():
            name = key.replace("__", "-")
            record = folder / f"{name.replace('-', '_')}-{version}.dist-info"
            record.mkdir(parents=True)
            (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            module = modules.get(name.split("-")[0], name.replace("-", "_"))
            (folder / module).mkdir(exist_ok=True)
            (folder / module / "__init__.py").touch()
        for module in bare:
            (folder / module).mkdir(parents=True, exist_ok=True)
            (folder / module / "__init__.py").touch()
        return [str(folder)]

    return make
