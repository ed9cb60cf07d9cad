"""amfac-doctor FILE: whether a file will load here, expected against found, and the command that mends it."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import amfac_edge
from amfac_edge.artefact import Outcome, examine
from amfac_edge.cli.as_typed import as_typed
from amfac_edge.cli.layout import coloured, section, wrapped
from amfac_edge.errors import typed
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amfac_edge.artefact import Examined, Manifest, Verdict

__all__ = ["report_on_file"]

_SCHEMA = "amfac-doctor-file/1"
_COLOURS = {Outcome.FITS: "32", Outcome.DIFFERS: "33", Outcome.UNKNOWN: "33", Outcome.REFUSED: "31"}


def report_on_file(path: Path, *, as_json: bool, host_code_allowed: bool = False) -> int:
    """Print the verdict on `path`; the result is the exit code.

    Args:
        path: of the file.
        as_json: as a JSON object, not as a table.
        host_code_allowed: its maker is trusted, so that a plan may run code of its own on the CPU.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    examined = examine(path, dataclasses.replace(this_host(), host_code_allowed=host_code_allowed))
    verdict = examined.verdict
    error = verdict.error(path)
    code = 0 if error is None else error.exit_code
    if as_json:
        print(json.dumps(_as_json(path, examined, code), indent=2))
        return code
    print("\n".join(_lines(path, examined)))
    print(f"\n{as_typed(_next_step(path, verdict))}", file=sys.stderr)
    return code


def _as_json(path: Path, examined: Examined, code: int) -> dict[str, object]:
    header, manifest = examined.header, examined.manifest
    return {
        "schema": _SCHEMA,
        "version": amfac_edge.__version__,
        "path": str(path),
        "kind": header.kind,
        "title": header.title,
        "engine_name": header.engine_name,
        "target": manifest.target if manifest else None,
        "precision": manifest.precision if manifest else None,
        "plan": manifest.plan.as_json() if manifest and manifest.plan else None,
        **examined.verdict.as_json(),
        "exit_code": code,
    }


def _lines(path: Path, examined: Examined) -> Iterator[str]:
    yield from wrapped("", _clean(f"{path.name}: {examined.header.title}"))
    name = examined.header.engine_name
    if examined.manifest is not None:
        made = examined.manifest
        model = f"{made.name}, {made.precision}, batch {made.batch}, made for {_targets(made)}"
        yield from wrapped("  ", _clean(model))
    elif name is not None:
        yield from wrapped("  ", f'it calls itself "{name}": recipe, and the head of its ONNX\'s SHA-256')
    yield from section("Will it load here?")
    width = max(len(check.subject) for check in examined.verdict.checks)
    for check in examined.verdict.checks:
        word = check.outcome.value
        head = f"  {word:<7}  {check.subject:<{width}}  "
        text = f"expected {check.expected}; found {check.found}"
        if check.outcome is Outcome.FITS:
            text = check.found if check.expected == check.found else f"{check.found} (expected {check.expected})"
        first, *rest = wrapped(head, _clean(text))
        yield first.replace(word, coloured(word, _COLOURS[check.outcome]), 1)
        yield from rest
        if check.cure and check.outcome is not Outcome.FITS:
            yield " " * len(head) + coloured(check.cure, "36")
    yield from section(f"{examined.verdict.sentence[0].upper()}{examined.verdict.sentence[1:]}.")[1:]


def _targets(manifest: Manifest) -> str:
    """The target, or all of them where one plan serves several cards."""
    several = manifest.plan.settings.get("targets") if manifest.plan else None
    return ", ".join(map(str, several)) if isinstance(several, list) and several else manifest.target


def _next_step(path: Path, verdict: Verdict) -> str:
    wrong = [*verdict.of(Outcome.REFUSED), *verdict.of(Outcome.DIFFERS)]
    cure = next((check.cure for check in wrong if check.cure), None)
    return f"To mend it: {cure}" if cure else f"Next: amfac-info {typed(path)}"


def _clean(text: str) -> str:
    """A file's own words must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
