"""Two thousand damaged ONNX files through the check and the builder: each is one clear error or a sound file."""

from __future__ import annotations

import collections
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX
from amfac_edge.compiler import has_builder

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).with_name("mutated_graphs.py")
# All of them together were seen to take a quarter of it.
LONGEST_S = 60.0
COUNT = 2000


def looked_at(file: Path, first: int, last: int, *words: str) -> tuple[list[str], str]:
    """What became of the copies from `first` on, until the process ended, and what it said of an end by itself."""
    command = [sys.executable, str(SCRIPT), str(file), str(first), str(last), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        drain = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        drain.start()
        lines: list[str] = []
        while True:
            timer = threading.Timer(LONGEST_S, process.kill)
            timer.start()
            line = process.stdout.readline() if process.stdout else ""
            timer.cancel()
            if not line:
                break
            lines.append(line.strip())
        drain.join()
    if len(lines) % 2:
        lines.append(f"ended by {process.returncode}")
    # A traceback is an error that nobody foresaw; a signal is what the child process is for.
    return lines[1::2], "".join(said) if process.returncode > 0 else ""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_mutation_does_more_than_end_its_own_process(tmp_path: Path, markers: ModuleType) -> None:
    file: Path = markers.write_artefact(tmp_path / "marker.rtx-3060.fp32.onnx", batch="1")
    words = ["build"] if has_builder(RTX) else []
    found: list[str] = []
    while len(found) < COUNT:
        outcomes, fault = looked_at(file, len(found), COUNT, *words)
        assert not fault
        assert outcomes, "a process that looked at nothing"
        found += outcomes
    became = collections.Counter(found)
    assert became["ended by -9"] == 0, "longer than a minute"
    assert became["refused"] > COUNT / 2
    assert became["accepted"] + became["built"] > 0
    assert sum(times for what, times in became.items() if what.startswith("ended by")) < COUNT / 100
