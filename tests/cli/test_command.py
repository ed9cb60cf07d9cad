from __future__ import annotations

import errno
import io
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import amfac_edge
from amfac_edge.cli.command import CommandParser, ProgressBar, Steps, run_command
from amfac_edge.errors import AmfacError, GateError, InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def failing(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.fixture
def parser() -> CommandParser:
    parser = CommandParser("amfac-x", "does x")
    parser.add_argument("input")
    parser.add_argument("--target", required=True)
    parser.add_argument("--json", action="store_true")
    return parser


@pytest.fixture
def parser_of_words() -> CommandParser:
    parser = CommandParser("amfac-x")
    words = parser.add_subparsers(dest="word", required=True)
    words.add_parser("run").add_argument("--rounds", type=int)
    words.add_parser("report").add_argument("--width")
    return parser


# ------------------------------------------------------------------------------------------------------- command lines


@pytest.mark.parametrize("written", [["--targt", "cpu"], ["--targt=cpu"], ["--targ", "cpu"]])
def test_a_misspelt_option_names_the_near_one_before_anything_missing(
    parser: CommandParser, written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["model.pth", *written])
    typed = written[0].partition("=")[0]
    said = capsys.readouterr()
    assert said.err == (
        f"amfac-x: error: {typed} is no option; did you mean --target?\n  amfac-x --help lists what it takes.\n"
    )
    assert said.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: input, --target"),
        (["a", "--target", "cpu", "b"], "unrecognized arguments: b"),
        (["a", "--target"], "argument --target: expected one argument"),
        (["a", "--zzzzzz"], "--zzzzzz is no option; known: --help, --json, --target, --version"),
    ],
)
def test_usage_errors_are_one_line_and_code_2(
    parser: CommandParser, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("amfac-x", lambda: bool(parser.parse_args(words)), words) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"amfac-x: error: {message}"


def test_a_usage_error_is_json_too_when_json_is_asked(
    parser: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["exit_code"]) == ("InputError", 2)
    assert "required: input, --target" in answer["problem"]


def test_words_after_two_hyphens_and_values_with_spaces_are_no_options(parser: CommandParser) -> None:
    assert parser.parse_args(["--target", "cpu", "--", "--odd-name.pth"]).input == "--odd-name.pth"
    assert parser.parse_args(["a", "--target", "--two words"]).target == "--two words"


def test_sub_commands_check_their_own_options(
    parser_of_words: CommandParser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parser_of_words.parse_args(["run", "--rounds", "3"]).rounds == 3
    for words, prog in (
        (["run", "--round", "3"], "amfac-x run"),
        (["run", "--width", "3"], "amfac-x run"),
        (["--rounds", "3", "run"], "amfac-x"),
    ):
        with pytest.raises(SystemExit, match="2"):
            parser_of_words.parse_args(words)
        typed = next(word for word in words if word.startswith("--"))
        assert capsys.readouterr().err.startswith(f"{prog}: error: {typed} is no option; ")


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"]])
def test_every_level_tells_its_version(
    parser_of_words: CommandParser, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("amfac-x", lambda: bool(parser_of_words.parse_args(words)), words) == 0
    assert capsys.readouterr().out.split()[-1] == amfac_edge.__version__


def test_help_ends_well_and_keeps_the_line_breaks_of_examples(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser("amfac-x", "does x", epilog="examples:\n  amfac-x one\n  amfac-x two")
    assert run_command("amfac-x", lambda: bool(parser.parse_args(["--help"])), ["--help"]) == 0
    assert "examples:\n  amfac-x one\n  amfac-x two" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a.onnx: empty", cure="Export it again."), 2),
        (GateError("joint 3 is off by 9 px", cure="Use fp32."), 1),
        (MachineError("no driver", cure="Install one."), 3),
    ],
)
def test_our_errors_are_two_lines_their_code_and_json(
    error: AmfacError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("amfac-x", failing(error), []) == code
    said = capsys.readouterr()
    assert said.err == f"amfac-x: error: {error.problem}\n  {error.cure}\n"
    assert said.out == ""
    assert run_command("amfac-x", failing(error), ["--json"]) == code
    assert json.loads(capsys.readouterr().out) == error.as_json()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "amfac-x: interrupted"),
        (MemoryError(), 3, "error: this machine has too little free memory"),
        (RecursionError("maximum"), 2, "error: the input is nested more deeply"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "aaa"),
            2,
            "error: aaa: File name too long\n  Give a shorter",
        ),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 3, 'pip install "amfac-edge[export]"'),
        (ModuleNotFoundError("No module named 'cuda'", name="cuda.bindings"), 3, 'pip install "amfac-edge[cuda]"'),
        (ModuleNotFoundError("No module named 'else'", name="else"), 1, "internal error: ModuleNotFoundError"),
        (ZeroDivisionError("a\nb"), 1, "amfac-x: internal error: ZeroDivisionError: a b\n  please report it"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_the_rest_is_told_without_a_traceback(
    error: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AMFAC_TRACEBACK", raising=False)
    monkeypatch.setattr("amfac_edge.cli.command._discard_output", lambda: None)
    assert run_command("amfac-x", failing(error), []) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_traceback_can_be_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMFAC_TRACEBACK", "1")
    assert run_command("amfac-x", failing(ZeroDivisionError("by hand")), ["--json"]) == 1
    said = capsys.readouterr()
    assert "Traceback (most recent call last)" in said.err
    assert json.loads(said.out)["error"] == "InternalError"


def test_the_result_of_the_body_is_the_exit_code() -> None:
    assert [run_command("amfac-x", lambda code=code: code, []) for code in (0, 1)] == [0, 1]  # type: ignore[misc]


CHILD = """
import sys, time
from pathlib import Path
from amfac_edge.cli.command import run_command
from amfac_edge.files import atomic_file

def body():
    with atomic_file(Path(sys.argv[1]) / "result.json"):
        print("ready", flush=True)
        {work}
    return 0

sys.exit(run_command("amfac-x", body))
"""


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [(signal.SIGINT, 130, "amfac-x: interrupted"), (signal.SIGTERM, 143, "amfac-x: terminated")],
)
def test_a_signal_ends_the_work_in_one_line_and_leaves_nothing(
    number: signal.Signals, code: int, line: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", CHILD.format(work="time.sleep(60)"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        _, said = child.communicate(timeout=30)
    assert child.returncode == code
    assert said.strip().splitlines() == [f"{line}; nothing unfinished was left"]
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    work = "[print('x' * 999) for _ in range(9999)]"
    command = [sys.executable, "-c", CHILD.format(work=work), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        said = child.stderr.read()
        assert (child.wait(timeout=30), said) == (141, "")


# ------------------------------------------------------------------------------------------------------------ progress


def test_steps_are_numbered_lines() -> None:
    stream = io.StringIO()
    steps = Steps(2, stream)
    steps("reading")
    steps("simplifying")
    assert stream.getvalue() == "[1/2] reading\n[2/2] simplifying\n"


def test_steps_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Steps(1)("reading")
    assert capsys.readouterr() == ("", "[1/1] reading\n")


def test_a_bar_is_drawn_on_a_terminal_and_ends_complete() -> None:
    stream = Terminal()
    with ProgressBar("frames", 4, stream) as bar:
        for _ in range(4):
            bar.advance()
    assert stream.getvalue().startswith("\rframes [............................] 0/4")
    assert stream.getvalue().endswith("\rframes [############################] 4/4\x1b[K\n")


def test_a_bar_says_how_long_the_rest_takes_at_the_pace_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("amfac_edge.cli.command.time.monotonic", lambda: now[0])
    stream = Terminal()
    with ProgressBar("epoch 2/9", 100, stream, done=40) as bar:
        now[0] += 20.0
        bar.advance(10, note="loss 1.5")
        # 10 pieces took 20 s, and 50 are left.
        assert stream.getvalue().endswith("] 50/100, 0:01:40 left, loss 1.5\x1b[K")


@pytest.mark.parametrize("total", [0, 3])
def test_a_bar_survives_an_empty_list_and_more_than_was_said(total: int) -> None:
    stream = Terminal()
    with ProgressBar("frames", total, stream) as bar:
        bar.advance(7)
    assert stream.getvalue().endswith(f"[############################] 7/{total}\x1b[K\n")


def test_a_bar_is_silent_in_a_pipe() -> None:
    stream = io.StringIO()
    with ProgressBar("frames", 2, stream) as bar:
        bar.advance(2)
    assert stream.getvalue() == ""
