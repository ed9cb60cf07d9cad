"""Receipts of a comparison: one a candidate, with all samples of all its rounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import read_manifest
from amfac_edge.files import sha256_of
from amfac_edge.machine.processor import read_processor
from amfac_edge.machine.this_machine import read_machine
from amfac_edge.performance.measuring import still_frame
from amfac_edge.performance.observing import Observed
from amfac_edge.performance.peers import OURS
from amfac_edge.performance.receipts import Receipt
from amfac_edge.performance.recording import findings_of, machine_fields
from amfac_edge.performance.samples import Conditions, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.machine.state import MachineState
    from amfac_edge.performance.peers import Candidate, Comparison

__all__ = ["receipts_of_peers"]

_ROOT = Path("/")


def receipts_of_peers(
    comparison: Comparison,
    candidates: Sequence[Candidate],
    artefact: Path,
    *,
    taken: str,
    command: Sequence[str],
    states: tuple[MachineState, MachineState],
) -> dict[str, Receipt]:
    """By candidate, those that were timed.

    Args:
        comparison: what was found.
        candidates: that took part; their files are still there.
        artefact: ours.
        taken: when it was begun.
        command: the words that were typed.
        states: of the machine, before and after.
    """
    machine, processor = read_machine(_ROOT), read_processor(_ROOT)
    height, width = still_frame().shape[:2]
    receipts = {}
    for candidate in candidates:
        answers = comparison.runs.get(candidate.name, [])
        if not answers:
            continue
        conditions = Conditions(
            processor=processor.name,
            engine=answers[0]["engine"],
            provider=candidate.name,
            threads=comparison.threads,
            spinning=True,
            artefact=candidate.path.name,
            sha256=sha256_of(candidate.path),
            recipe=comparison.recipe if candidate.of_recipe else candidate.name,
            precision=candidate.precision,
            frame=f"{width}x{height}",
            people=1,
            governor=processor.governor,
            versions=answers[0]["versions"],
        )
        samples = {
            "frame": [one for times in answers for one in times["frame_ms"]],
            "network": [one for times in answers for one in times["network_ms"]],
        }
        busy = max((times["busy"] for times in answers if times["busy"] is not None), default=None)
        observed = Observed(before=states[0], after=states[1], busy=busy, waited=None)
        rounds = {"frame_ms": comparison.frame_ms[candidate.name], "network_ms": comparison.network_ms[candidate.name]}
        receipts[candidate.name] = Receipt(
            taken=taken,
            command=tuple(command),
            conditions=conditions,
            series={name: Measured(name, tuple(times), conditions) for name, times in samples.items()},
            switches={"boundary": "peers", "candidate": candidate.name, "rounds": len(answers)},
            findings={**findings_of(observed), "medians_of_rounds": rounds},
            trained=False,
            manifest=read_manifest(artefact).as_json() if candidate.name == OURS else None,
            **machine_fields(machine, observed),
        )
    return receipts
