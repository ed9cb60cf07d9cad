"""Each thing that goes wrong on users' machines is found, and comes with the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.machine.diagnosis import Diagnosis, Finding, Mark, diagnose
from amfac_edge.machine.packages import EXTRAS, Interpreter, Packages
from amfac_edge.machine.this_machine import read_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_root import FakeRoot

    Site = Callable[..., list[str]]

PATH = {"PATH": "/usr/bin"}
CPU = {"numpy": "1.26.4", "onnxruntime": "1.20.0", "opencv__python": "4.10.0"}
# onnxsim is another one below Python 3.11.
ONNXSIM = next(one.at_least for one in EXTRAS["export"] if one.module == "onnxsim")
EXPORT = {"torch": "2.9.0", "onnx": "1.19", "onnxscript": "0.5.1", "onnxsim": ONNXSIM, "safetensors": "0.6"}
H200 = "NVIDIA H200, 9.0, 143771, 570.1.2"
RTX = "NVIDIA GeForce RTX 4090, 8.9, 24564, 560.35.03"


def diagnosed(fake_root: FakeRoot, path: list[str], python: str = "3.10.12") -> Diagnosis:
    interpreter = Interpreter(python, "/usr/bin/python3", virtual=True)
    return diagnose(read_machine(fake_root.root, PATH), Packages(path), interpreter, fake_root.root)


def extra(diagnosis: Diagnosis, name: str) -> Finding:
    return next(finding for finding in diagnosis.extras if finding.subject == name)


def problem(diagnosis: Diagnosis, subject: str) -> Finding:
    (found,) = (finding for finding in diagnosis.problems if finding.subject == subject)
    assert found.mark is Mark.WARNING
    return found


def board(fake_root: FakeRoot, l4t: str = "36.4.7") -> FakeRoot:
    return fake_root.device_tree("nvidia,p3767-0000").l4t(l4t)


def test_a_whole_desk_has_nothing_to_mend(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root, site(**CPU, **EXPORT, pycocotools="2.0.10"))
    assert found.target == "cpu"
    assert found.runs_on_cpu
    assert [finding.mark for finding in found.extras] == [Mark.OK] * 4
    assert [finding.mark for finding in found.abilities] == [*[Mark.OK] * 4, Mark.MISSING]
    assert "no NVIDIA GPU" in found.abilities[-1].detail
    assert found.problems == ()


def test_a_bare_python_is_told_the_extra(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root, site(numpy="1.26.4"))
    run, export, score, train, _ = found.abilities
    assert not found.runs_on_cpu
    assert (run.detail, run.cure) == ("run an artefact on the CPU: lacks cpu", 'pip install "amfac-edge[cpu]"')
    assert export.cure == 'pip install "amfac-edge[export]"'
    assert score.cure == 'pip install "amfac-edge[eval]"'
    assert train.detail == "train a network and score it by OKS: lacks cpu, export, eval"
    assert train.cure == 'pip install "amfac-edge[export,eval]"'
    assert extra(found, "cpu").detail == "lacks onnxruntime, opencv-python"


def test_without_this_package_installed_no_extra_of_it_is_named(fake_root: FakeRoot, site: Site) -> None:
    path = site(numpy="1.26.4")
    (Path(path[0]) / "amfac_edge-0.1.0.dist-info" / "METADATA").unlink()
    (Path(path[0]) / "amfac_edge-0.1.0.dist-info").rmdir()
    assert diagnosed(fake_root, path).abilities[0].cure == 'pip install "onnxruntime>=1.18" "opencv-python>=4.5"'


def test_scoring_and_training_lack_the_evaluator_alone(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root, site(**CPU, **EXPORT))
    for finding, command in zip(found.abilities[2:4], ("amfac-eval", "amfac-train"), strict=True):
        assert (finding.mark, finding.subject) == (Mark.MISSING, command)
        assert finding.detail.endswith("lacks eval")
        assert finding.cure == 'pip install "amfac-edge[eval]"'
    assert extra(found, "eval").detail == "lacks pycocotools"


def test_what_is_there_is_not_installed_over(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root, site(numpy="2.1", onnxruntime="1.20", opencv__python__headless="4.10"))
    assert found.runs_on_cpu
    assert "amfac-edge" not in extra(found, "export").cure
    assert extra(found, "export").cure.startswith('pip install "torch>=2.9" "onnx>=1.17"')


def test_an_old_package_is_named_with_its_floor(fake_root: FakeRoot, site: Site) -> None:
    found = extra(diagnosed(fake_root, site(**CPU, **(EXPORT | {"torch": "2.5.0"}))), "export")
    assert found.mark is Mark.MISSING
    assert found.detail.startswith("lacks torch 2.5.0 (needs >=2.9); has onnx 1.19")


def test_files_that_are_gone_are_installed_again(fake_root: FakeRoot, site: Site) -> None:
    path = site(**CPU)
    (fake_root.root.parent / "site/onnxruntime/__init__.py").unlink()
    (fake_root.root.parent / "site/onnxruntime").rmdir()
    found = diagnosed(fake_root, path)
    assert not found.runs_on_cpu
    assert found.abilities[0].cure == "pip install --force-reinstall --no-deps onnxruntime"


@pytest.mark.parametrize(("card", "keep"), [(None, "onnxruntime"), (RTX, "onnxruntime-gpu")])
def test_two_onnx_runtimes_overwrite_each_other(fake_root: FakeRoot, site: Site, card: str | None, keep: str) -> None:
    if card:
        fake_root.nvidia_smi(card)
    found = problem(diagnosed(fake_root, site(**CPU, onnxruntime__gpu="1.20.0")), keep)
    assert "onnxruntime 1.20.0 and onnxruntime-gpu 1.20.0 overwrite each other's files" in found.detail
    assert found.cure == f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install {keep}"


@pytest.mark.parametrize(
    ("others", "keep"),
    [
        ({"opencv__python__headless": "4.10"}, "opencv-python-headless"),
        ({"opencv__contrib__python": "4.9"}, "opencv-contrib-python"),
        ({"opencv__python__headless": "4.10", "opencv__contrib__python": "4.9"}, "opencv-contrib-python"),
    ],
)
def test_two_opencvs_overwrite_each_other(fake_root: FakeRoot, site: Site, others: dict[str, str], keep: str) -> None:
    found = problem(diagnosed(fake_root, site(**CPU, **others)), keep)
    names = ["opencv-python", *(key.replace("__", "-") for key in others)]
    assert all(name in found.detail for name in names)
    away, _, again = found.cure.partition(" && ")
    assert set(away.split()[3:]) == set(names)
    assert again == f"pip install {keep}"


def test_a_card_wants_its_extras(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root.nvidia_smi(RTX), site(**CPU))
    assert found.target == "rtx-4090"
    assert extra(found, "rtx").cure == 'pip install "amfac-edge[rtx]"'
    # The extra brings onnxruntime-gpu, which must not land on top of onnxruntime.
    assert extra(found, "cuda").cure == 'pip uninstall -y onnxruntime && pip install "amfac-edge[cuda]"'
    assert found.abilities[-1].mark is Mark.MISSING
    assert found.problems == ()


def test_a_plan_needs_tensorrt_and_a_way_to_cuda(fake_root: FakeRoot, site: Site) -> None:
    fake_root.nvidia_smi(RTX)
    found = diagnosed(fake_root, site(**CPU, tensorrt="10.16.1")).abilities[-1]
    assert found.mark is Mark.MISSING
    assert "tensorrt 10.16.1 is here, and neither cuda-python nor pycuda" in found.detail
    assert found.cure.startswith("pip install 'cuda-python")
    found = diagnosed(fake_root, site(pycuda="2024.1.2")).abilities[-1]
    assert found.mark is Mark.OK
    assert found.detail == "run a plan by tensorrt 10.16.1 over pycuda 2024.1.2"


def test_a_card_that_no_target_fits(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(fake_root.nvidia_smi(H200), site(**CPU))
    assert found.target is None
    assert "NVIDIA H200 (compute capability 9.0)" in problem(found, "target").detail
    assert "TOML" in problem(found, "target").cure


def test_a_driver_that_does_not_answer(fake_root: FakeRoot, site: Site) -> None:
    fake_root.write("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue")
    found = problem(diagnosed(fake_root, site(**CPU)), "NVIDIA driver")
    assert "550.54.15" in found.detail
    assert found.cure.startswith("nvidia-smi")


def test_a_card_without_a_driver(fake_root: FakeRoot, site: Site) -> None:
    fake_root.write("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de")
    fake_root.write("sys/bus/pci/devices/0000:01:00.0/class", "0x030000")
    found = problem(diagnosed(fake_root, site(**CPU)), "NVIDIA driver")
    assert "no driver" in found.detail
    assert found.cure.startswith("sudo ubuntu-drivers install")


def test_a_healthy_board(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(
        board(fake_root), site("cv2", numpy="1.26.4", onnxruntime="1.20", cuda__python="12.6", tensorrt="10.3.0")
    )
    assert found.target == "orin-nx-16"
    assert found.runs_on_cpu
    assert extra(found, "jetson").mark is Mark.OK
    assert extra(found, "cpu").detail == "onnxruntime 1.20, cv2 (the system's own)"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("l4t", "name", "version", "fits"),
    [
        ("36.4.7", "jetson", "12.6.2", True),
        ("36.4.7", "jetson", "12.9.4", False),
        ("39.2.0", "jetson7", "13.2.0", True),
        ("39.2.0", "jetson7", "13.4.4", False),
        ("39.2.0", "jetson7", "12.6.2", False),
    ],
)
def test_a_board_takes_the_cuda_python_of_its_jetpack(
    fake_root: FakeRoot, site: Site, l4t: str, name: str, version: str, *, fits: bool
) -> None:
    found = diagnosed(board(fake_root, l4t), site("cv2", numpy="1.26.4", cuda__python=version))
    assert {"jetson", "jetson7"} & {one.subject for one in found.extras} == {name}
    assert extra(found, name).mark is (Mark.OK if fits else Mark.MISSING)
    assert extra(found, name).cure.startswith('pip install "cuda-python>=' if not fits else "")


def test_opencv_of_pip_on_a_board(fake_root: FakeRoot, site: Site) -> None:
    found = problem(diagnosed(board(fake_root), site(**CPU)), "OpenCV")
    assert "GStreamer" in found.detail
    assert found.cure == "pip uninstall -y opencv-python"


def test_a_board_is_never_told_to_take_opencv_from_pip(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(board(fake_root), site(numpy="1.26.4"))
    assert not found.runs_on_cpu
    assert found.abilities[0].cure == 'sudo apt install nvidia-jetpack && pip install "onnxruntime>=1.18"'


def test_modules_of_the_board_that_an_environment_hides(fake_root: FakeRoot, site: Site) -> None:
    for module in ("cv2", "tensorrt"):
        fake_root.write(f"usr/lib/python3.10/dist-packages/{module}/__init__.py", "")
    found = diagnosed(board(fake_root), site(numpy="1.26.4", onnxruntime="1.20"))
    command = "python3.10 -m venv --system-site-packages .venv && . .venv/bin/activate && pip install ./amfac-edge"
    assert problem(found, "Python").cure == extra(found, "cpu").cure == command
    assert "tensorrt and cv2" in problem(found, "Python").detail
    assert "see below" in found.abilities[-1].detail


def test_a_board_without_tensorrt_gets_it_from_apt(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(board(fake_root), site("cv2", numpy="1.26.4", onnxruntime="1.20"))
    assert found.abilities[-1].cure == "sudo apt install python3-libnvinfer"


@pytest.mark.parametrize(("l4t", "expected"), [("36.4.7", True), ("39.2.0", False)])
def test_numpy_2_breaks_jetpack_6(fake_root: FakeRoot, site: Site, l4t: str, *, expected: bool) -> None:
    python = "3.10.12" if expected else "3.12.3"
    found = diagnosed(board(fake_root, l4t), site("cv2", numpy="2.2.6", onnxruntime="1.20"), python)
    cures = [finding.cure for finding in found.problems if finding.subject == "numpy"]
    assert cures == (['pip install "numpy<2"'] if expected else [])


def test_tensorrt_of_pip_on_a_board(fake_root: FakeRoot, site: Site) -> None:
    found = problem(diagnosed(board(fake_root), site("cv2", numpy="1.26.4", tensorrt__cu12="10.16.1")), "TensorRT")
    assert found.cure == "pip uninstall -y tensorrt tensorrt-cu12"


def test_jetpack_5_is_recognised_and_its_python_is_too_old(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(board(fake_root, "35.4.1"), site(**(CPU | {"numpy": "2.2.6"})))
    (warning,) = found.problems
    assert warning.subject == "JetPack 5.1"
    assert "its own Python 3.8 is below 3.10" in warning.detail
    assert "flash JetPack 6 or 7.2" in warning.cure
    assert "trtexec: docs/targets.md" in warning.cure
    assert found.runs_on_cpu


def test_on_jetpack_5_opencv_comes_from_pip(fake_root: FakeRoot, site: Site) -> None:
    found = extra(diagnosed(board(fake_root, "35.4.1"), site(numpy="1.26.4", onnxruntime="1.20")), "cpu")
    assert found.cure == 'pip install "opencv-python>=4.5"'


def test_another_python_than_jetpacks(fake_root: FakeRoot, site: Site) -> None:
    found = diagnosed(board(fake_root), site(**(CPU | {"numpy": "2.2.6"})), "3.12.3")
    (warning,) = found.problems
    assert "this is Python 3.12, but JetPack 6.2's TensorRT and OpenCV are for Python 3.10" in warning.detail
    assert warning.cure.startswith("python3.10 -m venv --system-site-packages .venv && ")
    assert "see below" in found.abilities[-1].detail


def test_a_board_that_is_not_declared(fake_root: FakeRoot, site: Site) -> None:
    fake_root.device_tree("nvidia,p3767-0004", model="NVIDIA Jetson Orin Nano 4GB").l4t("36.4.7")
    found = diagnosed(fake_root, site("cv2", numpy="1.26.4", onnxruntime="1.20"))
    assert found.target is None
    assert "NVIDIA Jetson Orin Nano 4GB" in problem(found, "board").detail
    assert problem(found, "board").cure.startswith("export AMFAC_BOARD=")
