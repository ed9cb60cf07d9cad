"""The page of targets is true: what it does on a PC is run, and what it does there exists and can be begun."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.cli import bench, doctor, export
from amfac_edge.compiler import has_builder, plan_name
from amfac_edge.declared.target import load_target
from amfac_edge.machine.packages import EXTRAS
from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "amfac-export": export.main,
    "amfac-doctor": doctor.main,
    "amfac-bench": bench.main,
}


def sections(page: str) -> dict[str, list[list[str]]]:
    """The words of every command of a bash block, by section."""
    found: dict[str, list[list[str]]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```bash\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
        found[title] = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return found


@pytest.fixture
def page() -> str:
    return (TREE / "docs" / "targets.md").read_text()


def test_every_target_has_its_place(page: str) -> None:
    exported = [
        load_target(name).name
        for commands in sections(page).values()
        for words in commands
        if words[0] == "amfac-export"
        for name in words[words.index("--target") + 1].split(",")
    ]
    assert set(exported) == {path.stem for path in (TREE / "engines").glob("*.toml")}


@pytest.mark.parametrize(
    "title",
    [
        "cpu", "orin-nano", "orin-nx-8", "orin-nx-16", "AGX Orin and Thor", "rtx-3060", "rtx-4090", "both cards",
        "older JetPacks",
    ],
)  # fmt: skip
def test_its_commands_do_what_it_says(
    title: str, page: str, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = sections(page)[title]
    if any(".rtx.plan" in word for words in commands for word in words) and not has_builder(RTX):
        pytest.skip("TensorRT-RTX is not installed: make rtx")
    monkeypatch.chdir(tmp_path)
    fresh_checkpoint(tiny_recipe, 0, tmp_path / "model.pth")
    for words in commands:
        done = follow(words, tmp_path)
        # 3: a plan for another machine than this one, which amfac-doctor is there to say.
        assert done in ((0, 3) if words[0] == "amfac-doctor" else (0,)), words


def test_what_is_installed_on_a_board_is_there(page: str) -> None:
    commands = sections(page)["Install on the board"]
    assert any(words[:4] == ["python3", "-m", "venv", "--system-site-packages"] for words in commands)
    (installed,) = (words[-1] for words in commands if words[0].endswith("/pip"))
    named = {installed.rpartition("[")[2].rstrip("]"), *re.findall(r"\./amfac-edge\[(\w+)\]", page), "jetson7"}
    assert named <= EXTRAS.keys()
    assert {extra for extra, needs in EXTRAS.items() if extra.startswith("jetson")} <= named
    for name in ("README.md", "docs/deployment.md"):
        assert "targets.md#install-on-the-board" in (TREE / name).read_text()
    service = (TREE / "examples" / "amfac-run.service").read_text()
    assert re.search(r"pip install \"\./amfac-edge\[jetson\]\"", service)


def test_no_page_types_a_command_after_a_kit_that_a_kit_does_not_bring(page: str) -> None:
    for commands in sections(page).values():
        built = [place for place, words in enumerate(commands) if words[-1].endswith("/build.py")]
        for place in built:
            folder = commands[place][-1].removesuffix("/build.py")
            assert commands[place + 1] == ["python3", f"{folder}/doctor.py", f"{folder}/{folder}.plan"]


def follow(words: list[str], here: Path) -> int:
    """Run a command of the page, as far as it can be run here."""
    program, *rest = words
    if program in COMMANDS:
        if program == "amfac-doctor" and not (here / rest[0]).exists():
            return there(here / rest[0])
        return COMMANDS[program](rest)
    if program == "tar":
        return subprocess.run(words, cwd=here, check=False).returncode
    if program == "python3":
        if rest[0].endswith("doctor.py"):
            there(here / rest.pop())
        return subprocess.run([sys.executable, *rest, "--help"], cwd=here, check=False, capture_output=True).returncode
    assert words[:2] == ["pip", "install"]
    return 0


def there(plan: Path) -> int:
    """A plan that only the board can build: at least its name is the one that it will have."""
    artefact = plan.parent / plan.name.replace(".plan", ".onnx")
    target = load_target(plan.name.split(".")[1])
    assert artefact.is_file()
    assert plan_name(artefact, TENSORRT, [target]) == plan.name
    return 0
