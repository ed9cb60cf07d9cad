from __future__ import annotations

import pickle  # noqa: TID251 - what concurrent.futures sends errors through
import re
from typing import TYPE_CHECKING

import pytest

from amfac_edge import errors
from amfac_edge.errors import InputError, MissingExtraError, near_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amfac_edge.errors import AmfacError

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_at_the_head_of_the_file_has_the_exit_code(kind: type[AmfacError]) -> None:
    drawn = dict(re.findall(r"(\w+Error) +(?:exit code )?(\d)", errors.__doc__ or ""))
    assert drawn[kind.__name__] == str(kind.exit_code)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_out_of_a_worker(kind: type[AmfacError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("a.onnx: empty", cure="Copy it again.")))  # noqa: S301 - made on this line
    assert (type(copy), copy.problem, copy.cure) == (kind, "a.onnx: empty", "Copy it again.")


def test_a_message_is_the_problem_and_the_cure() -> None:
    error = InputError("a.onnx: empty", cure="Copy it again.")
    assert str(error) == "a.onnx: empty\n  Copy it again."
    assert error.as_json() == {
        "error": "InputError",
        "problem": "a.onnx: empty",
        "cure": "Copy it again.",
        "exit_code": 2,
    }


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    error = MissingExtraError.of("torch", "export", use="amfac-export")
    assert error.problem == "amfac-export needs the package torch, which is not installed"
    assert error.cure == 'pip install "amfac-edge[export]"'


def test_in_a_kit_the_package_is_named_and_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    assert MissingExtraError.of("cuda-python", "cuda", use="running a plan").cure == "pip install cuda-python"


@pytest.mark.parametrize(
    ("wrong", "known", "said"),
    [
        ("orin-nan", ["orin-nano-8", "cpu"], "did you mean orin-nano-8?"),
        ("orin", ["orin-nx-8", "orin-nx-16"], "did you mean orin-nx-8 or orin-nx-16?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "known: none"),
    ],
)
def test_near_names_help(wrong: str, known: Iterable[str], said: str) -> None:
    assert near_names(wrong, known) == said
