from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli.info import main
from amfac_edge.declared.recipe import load_recipe, recipe_from_json, recipe_names
from amfac_edge.declared.target import target_names

if TYPE_CHECKING:
    from types import ModuleType

_ROOT = Path(__file__).parents[2]


def _json_of(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_everything_that_is_declared_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out, err = capsys.readouterr()
    for name in (*recipe_names(), *target_names()):
        assert f"  {name} " in out
    assert re.search(r"384x288  coco-17 +76\.6 ", out)
    assert err.startswith("next:\n  amfac-info ")


@pytest.mark.parametrize("word", ["recipes", "targets"])
def test_one_list_alone(capsys: pytest.CaptureFixture[str], word: str) -> None:
    answer = _json_of(capsys, word)
    assert list(answer) == [word]
    assert [row["name"] for row in answer[word]] == (recipe_names() if word == "recipes" else target_names())


def test_contradicting_figures_of_the_papers_are_both_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in _json_of(capsys, "recipes")["recipes"]}
    assert rows["eba-prnetcc-r34-256x256"]["ap"] == [74.1, 74.3]
    assert rows["amfacpose-r18-256x256"]["ap"] == 72.1
    assert rows["amfacpose-r18-128x128"]["ap"] is None


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_shown_with_all_its_values(capsys: pytest.CaptureFixture[str], name: str) -> None:
    answer = _json_of(capsys, name)
    assert recipe_from_json(answer, where="answer") == load_recipe(name)
    assert main([name]) == 0
    assert f" {name}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", target_names())
def test_a_target_is_shown_with_its_modes_and_rates(capsys: pytest.CaptureFixture[str], name: str) -> None:
    answer = _json_of(capsys, name)
    assert answer["name"] == name
    assert ("peak_rates" in answer) == (answer["gpu"] is not None)
    assert main([name]) == 0
    out = capsys.readouterr().out
    assert all(f"  {mode} " in out for mode in answer["modes"])


def test_an_alias_is_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json_of(capsys, "orin-nano")["name"] == "orin-nano-8"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("orin-nx", 'the target "orin-nx" is ambiguous\n  Give one of orin-nx-8, orin-nx-16.'),
        ("orin-nanoo", '"orin-nanoo" is no recipe, no target and no file\n  did you mean orin-nano'),
        ("amfacpose-r18", "is no recipe, no target and no file\n  did you mean amfacpose-r18"),
        ("none.onnx", '"none.onnx" is no recipe, no target and no file'),
        ("recipe", '"recipe" is no recipe, no target and no file\n  did you mean recipes?'),
        ("none.toml", '"none.toml" is no recipe, no target and no file'),
        ("n" * 300, 'nnn" is no recipe, no target and no file'),
        ("n" * 300 + ".toml", 'nnn.toml" is no recipe, no target and no file'),
    ],
)
def test_an_unknown_name_shows_the_near_ones(capsys: pytest.CaptureFixture[str], name: str, message: str) -> None:
    assert main([name]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", ["export/amfacpose-r18-128x128.toml", "engines/rtx-3060.toml"])
def test_a_declaration_of_ones_own_is_read(capsys: pytest.CaptureFixture[str], path: str) -> None:
    assert _json_of(capsys, _ROOT / path)["name"] == Path(path).stem


def test_a_faulty_declaration_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('family = "amfacpose"\nskeleton = 3\n')
    assert main([str(tmp_path / "mine.toml")]) == 2
    assert "skeleton: expected a string, got 3" in capsys.readouterr().err


def test_an_artefact_says_what_it_is_and_what_comes_next(
    markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = markers.write_artefact(tmp_path / "m.onnx", trained=False)
    assert main([str(engine)]) == 0
    out, err = capsys.readouterr()
    assert "an artefact of amfac-export" in out
    assert "trained     no\n" in out
    assert f"amfac-run --engine {engine} " in err
    answer = _json_of(capsys, engine)
    assert answer["kind"] == "onnx-artefact"
    assert answer["artefact"]["recipe"]["name"] == "marker-64x48"


def test_an_onnx_of_others_is_told_to_be_exported(
    markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = markers.write_artefact(tmp_path / "m.onnx", manifest=False, metadata=False)
    assert main([str(engine)]) == 0
    out, err = capsys.readouterr()
    assert "not an artefact of amfac-export" in out
    assert f"amfac-export {engine} --target cpu" in err


def test_a_file_that_nobody_here_knows_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    assert main([str(tmp_path / "photo.jpg")]) == 2
    assert "photo.jpg: nothing that is known here" in capsys.readouterr().err


def test_the_words_of_a_file_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = json.dumps({"__metadata__": {"note": "\x1b[2Jgone\n" + "x" * 500}}).encode()
    (tmp_path / "m.bin").write_bytes(len(header).to_bytes(8, "little") + header)
    main([str(tmp_path / "m.bin")])
    out = capsys.readouterr().out
    assert "\x1b" not in out


def test_a_checkpoint_without_torch_is_still_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "amfac_edge.networks", None)
    (tmp_path / "m.pth").write_bytes(b"\x80\x02\x8a\x0al\xfc\x9c")
    answer = _json_of(capsys, tmp_path / "m.pth")
    assert answer["kind"] == "pytorch-checkpoint"
    assert answer["keys"] == 'not read: that takes PyTorch (pip install "amfac-edge[export]")'


def test_a_checkpoint_shows_its_keys_and_the_recipes_that_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from amfac_edge.networks import build_network  # noqa: PLC0415 - only where torch is

    path = tmp_path / "m.pth"
    torch.save({"state_dict": build_network("amfacpose-r18-128x128").state_dict()}, path)
    answer = _json_of(capsys, path)
    assert answer["recipes"] == ["amfacpose-r18-128x128"]
    assert answer["kind"] == "pytorch-checkpoint"
    assert len(answer["keys"]) > 12
    assert main([str(path)]) == 0
    assert "more (--json shows all)" in capsys.readouterr().out


def test_lists_names_and_artefacts_need_no_heavy_package(markers: ModuleType, tmp_path: Path) -> None:
    engine = markers.write_artefact(tmp_path / "m.onnx", manifest=False)
    program = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'cv2'): sys.modules[name] = None\n"
        "from amfac_edge.cli.info import main\n"
        f"assert main([]) == main(['orin-nano']) == main(['amfacpose-r18-256x256']) == main([{str(engine)!r}]) == 0\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_plan_shows_what_it_and_its_manifest_say(
    made_plans: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made_plans.write(tmp_path / "m.rtx.plan", "rtx-4090", made_plans.rtx_facts(), made_plans.rtx_plan())
    answer = _json_of(capsys, path)
    assert (answer["kind"], answer["tensorrt_rtx"]) == ("tensorrt-rtx-plan", "1.7.1.116")
    assert answer["engine_name"] == made_plans.NAME
    assert answer["artefact"]["plan"]["compute_capabilities"] == ["8.6", "8.9"]
    assert main([str(path)]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^    tensorrt_version +1\.7\.1\.116$", out, re.MULTILINE)
    assert f"next:\n  amfac-doctor {path}\n" in err
