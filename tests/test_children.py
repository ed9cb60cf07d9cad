from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.children import ChildFailure, call_in_child, tell_parent
from amfac_edge.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = """
import os, signal, sys, time
from amfac_edge.errors import ModelFileError

def added(first, second):
    print("a library that talks")
    print("... and one that complains", file=sys.stderr)
    return first + second

def refused():
    raise ModelFileError("a.onnx: empty", cure="Copy it again.")

def raised():
    raise ZeroDivisionError("by hand")

def crashed():
    os.kill(os.getpid(), signal.SIGSEGV)

def asleep():
    time.sleep(60)

def busy():
    while True:
        pass

def greedy():
    return len(bytearray(4 << 30))

def crashed_namelessly():
    os.kill(os.getpid(), 40)

def silent():
    os._exit(3)

def talking():
    from amfac_edge.children import tell_parent
    print('{"phase": "not this one"}')
    return [tell_parent({"phase": name}) for name in ("one", "two")]

def babbling():
    from amfac_edge import children
    fd = children._Line.telling
    os.write(fd, b"no JSON\\n" + b"x" * 200_000 + b"\\n" + b"[" * 50_000 + b"\\n")
    return children.tell_parent("sense")

def until_nobody_listens(began, mark):
    from amfac_edge.children import tell_parent
    open(began, "w").close()
    while tell_parent("still here"):
        time.sleep(0.02)
    open(mark, "w").close()
    return "ended"

def driver():
    import mmap
    # As CUDA does it where there is a GPU: addresses without anything behind them.
    return len(mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0))
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "functions_of_a_child.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("functions_of_a_child", None)


def call(function: str, **limits: object) -> object:
    limits = {"timeout_s": 30.0, **limits}
    return call_in_child(f"functions_of_a_child:{function}", **limits)  # type: ignore[arg-type]


def test_the_result_comes_back_whatever_is_printed() -> None:
    assert call("added", first=[1], second=[2]) == [1, 2]


def test_an_error_of_ours_comes_back_as_itself() -> None:
    with pytest.raises(ModelFileError, match=r"a.onnx: empty\n  Copy it again."):
        call("refused")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("raised", "ZeroDivisionError: by hand"),
        ("crashed", "it was killed by SIGSEGV"),
        ("crashed_namelessly", "it was killed by signal 40"),
        ("silent", "exit code 3 without a word"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_a_child_that_gives_no_answer_says_how_it_ended(function: str, reason: str) -> None:
    with pytest.raises(ChildFailure) as caught:
        call(function)
    assert reason in caught.value.reason


def test_a_child_that_takes_too_long_is_killed() -> None:
    started = time.monotonic()
    with pytest.raises(ChildFailure, match=r"no end after 0\.5 s"):
        call("asleep", timeout_s=0.5)
    assert time.monotonic() - started < 30


def test_a_child_that_wants_too_much_memory_fails_alone() -> None:
    with pytest.raises(ChildFailure, match="MemoryError"):
        call("greedy", memory_bytes=1 << 30)


def test_a_child_sees_what_its_parent_can_import() -> None:
    assert call("added", first=os.sep, second="a") == "/a"


def test_a_child_takes_no_module_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of downloads may hold one that is called as Python's own."""
    elsewhere = tmp_path / "downloads"
    elsewhere.mkdir()
    (elsewhere / "selectors.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(elsewhere)
    assert call("added", first=1, second=2) == 3


def test_a_child_says_how_far_it_is() -> None:
    heard: list[object] = []
    assert call("talking", progress=heard.append) == [True, True]
    assert [value for value in heard if value is not None] == [{"phase": "one"}, {"phase": "two"}]
    assert call("talking") == [True, True]


def test_a_child_that_babbles_is_heard_where_it_makes_sense() -> None:
    heard: list[object] = []
    assert call("babbling", progress=heard.append) is True
    assert [value for value in heard if value is not None] == ["sense"]


def test_silence_is_heard_too() -> None:
    heard: list[object] = []
    with pytest.raises(ChildFailure, match="no end after"):
        call("asleep", timeout_s=1.5, progress=heard.append)
    assert None in heard


@pytest.mark.parametrize("ended_by", ["time", "interruption"])
def test_a_child_to_whom_nobody_listens_can_end_by_itself(ended_by: str, tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        if ended_by == "interruption":
            raise KeyboardInterrupt

    began, mark = tmp_path / "began", tmp_path / "mark"
    code = (
        "from amfac_edge.children import call_in_child\n"
        "call_in_child('functions_of_a_child:until_nobody_listens', timeout_s=60, "
        f"began={str(began)!r}, mark={str(mark)!r})"
    )
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}) as parent:
        _wait_for(began)
        parent.kill()
    _wait_for(mark)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_was_killed_says_by_what() -> None:
    with pytest.raises(ChildFailure) as caught:
        call("crashed")
    assert caught.value.killed_by == "SIGSEGV"
    with pytest.raises(ChildFailure) as caught:
        call("silent")
    assert caught.value.killed_by is None


def test_reserved_addresses_are_no_memory() -> None:
    assert call("driver", memory_bytes=1 << 30) == 64 << 30


def test_out_of_a_child_there_is_nobody_to_tell() -> None:
    assert tell_parent({"phase": "one"})


def test_another_environment_has_this_package_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_alone.py").write_text("def answer():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert call_in_child("ours_alone:answer", timeout_s=60) == 1
    other = Path(sys.executable)
    told = call_in_child("amfac_edge.errors:near_names", timeout_s=60, interpreter=other, wrong="ab", known=["abc"])
    assert "abc" in told
    with pytest.raises(ChildFailure, match="No module named 'ours_alone'"):
        call_in_child("ours_alone:answer", timeout_s=60, interpreter=other)
