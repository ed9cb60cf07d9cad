"""amfac-eval's options about scores: do they mean what they say, and a checkpoint whose scores do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.accuracy import (
    LogitsPredictor,
    fit_score,
    ground_truth_boxes,
    judge,
    reliability,
    reliability_picture,
)
from amfac_edge.cli.command import ProgressBar
from amfac_edge.drawing import write_picture
from amfac_edge.errors import GateError, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from amfac_edge.accuracy import FittedScore, Predictions, Predictor, Reliability
    from amfac_edge.cli.command import CommandParser
    from amfac_edge.datasets import PeopleSet

__all__ = ["add_calibration_options", "calibrate", "check_calibration", "draw_reliability", "pck_threshold"]

_PCK = 0.1
_CHECKPOINTS = (".pth", ".pt", ".safetensors")


def add_calibration_options(parser: CommandParser) -> None:
    """Add `--reliability` and `--calibrate-score`."""
    add = parser.add_argument
    add(
        "--reliability", type=Path, metavar="PICTURE", help="draw how often joints are right (--pck) over their score, "
        "with rank correlation and calibration error"
    )  # fmt: skip
    add(
        "--calibrate-score", type=Path, metavar="OUT", help="fit the score of a checkpoint on half of the pictures, "
        "report on the other half, and write the checkpoint with it; nothing else is scored"
    )  # fmt: skip


def pck_threshold(arguments: argparse.Namespace) -> float:
    """What `--pck` says, or its default."""
    return _PCK if arguments.pck is None else arguments.pck


def check_calibration(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded.

    Raises:
        InputError: options that don't go together.
    """
    out: Path | None = arguments.calibrate_score
    if out is None:
        return
    without = {
        "--flip": arguments.flip, "--boxes": arguments.boxes, "--worst": arguments.worst,
        "--grid": arguments.grid, "--attention": arguments.attention,
        "--robustness": arguments.robustness, "--save-predictions": arguments.save_predictions,
        "--bootstrap": arguments.bootstrap, "--predictions": arguments.predictions,
    }  # fmt: skip
    given = [name for name, value in without.items() if value]
    if given:
        raise InputError(
            f"{', '.join(given)} with --calibrate-score: it fits in the annotated boxes, without flip averaging, and "
            "scores nothing else",
            cure="Leave it out here, and score the file that was written.",
        )
    if arguments.file.suffix.lower() in {".onnx", ".plan"}:
        raise InputError(
            f"{arguments.file}: the score is calibrated in a checkpoint, not in what was exported from it",
            cure="Give the checkpoint, then export the one that is written.",
        )
    if out.suffix not in _CHECKPOINTS:
        raise InputError(f"{out}: no form of checkpoint", cure=f"Use one of {' '.join(_CHECKPOINTS)}.")


def calibrate(arguments: argparse.Namespace, predictor: Predictor | None, people: PeopleSet) -> int:
    """Fit, report and write.

    Raises:
        InputError: too little data, or a score that can't be calibrated.
        GateError: the fitted score is no better on the half that was held out; nothing is written.
    """
    # Torch loads where a checkpoint was loaded already.
    from amfac_edge.pipeline.calibrating import write_calibrated  # noqa: PLC0415

    assert isinstance(predictor, LogitsPredictor)
    with ProgressBar("joints", len(ground_truth_boxes(people).boxes)) as bar:
        fitted = fit_score(
            predictor,
            people,
            threshold=pck_threshold(arguments),
            seed=arguments.seed,
            on_fault="skip" if arguments.skip_faults else "refuse",
            progress=bar.advance,
        )
    for fault in fitted.unread.values():
        print(f"left out: {fault}", file=sys.stderr)
    if arguments.reliability:
        _draw(arguments, {"plain": fitted.before, "calibrated": fitted.after}, f"{people.name}, held out")
    if fitted.after.log_loss >= fitted.before.log_loss:
        raise GateError(
            f"{people.name}: calibrated, the score is no better on the half that was held out: log loss "
            f"{fitted.after.log_loss:.4f}, {fitted.before.log_loss:.4f} before",
            cure="Nothing was written. Use the model as it is, or give more data.",
        )
    write_calibrated(
        arguments.file,
        arguments.calibrate_score,
        fitted.calibration,
        recipe=arguments.recipe,
        key_map=arguments.key_map,
    )
    print(json.dumps(_as_json(fitted), allow_nan=False) if arguments.json else "\n".join(_lines(fitted, people)))
    print(f"saved {arguments.calibrate_score}", file=sys.stderr)
    return 0


def draw_reliability(arguments: argparse.Namespace, people: PeopleSet, predictions: Predictions) -> dict[str, Any]:
    """Draw the diagram where it was asked for.

    Returns:
        `reliability` for the details of `--json`; empty where it was not asked for.
    """
    if not arguments.reliability:
        return {}
    joints = judge(people, predictions, pck_threshold(arguments))
    found = reliability(joints)
    _draw(arguments, {"score": found}, f"{people.name}: {found.joints:,} joints")
    if not arguments.json:
        print(
            f"scores of joints: mean {joints.scores.mean():.4f}, right {found.right:.4f}; calibration error "
            f"{found.ece:.4f} ({found.ece_by_chance:.4f} by chance), rank correlation {_figure(found.spearman)}"
        )
    return {"reliability": found.as_json() | {"threshold": joints.threshold}}


def _draw(arguments: argparse.Namespace, found: dict[str, Reliability], title: str) -> None:
    write_picture(arguments.reliability, reliability_picture(found, title))
    print(f"saved {arguments.reliability}", file=sys.stderr)


def _as_json(fitted: FittedScore) -> dict[str, Any]:
    return {
        "score_calibration": fitted.calibration.as_json(),
        "held_out": {"before": fitted.before.as_json(), "after": fitted.after.as_json()},
        "log_loss_by_combination": fitted.losses,
    }


def _lines(fitted: FittedScore, people: PeopleSet) -> Iterator[str]:
    calibration, evidence = fitted.calibration, fitted.calibration.fitted_on
    yield (
        f"{people.name}: fitted on {evidence['fitted']['pictures']:,} pictures ({evidence['fitted']['joints']:,} "
        f"joints), held out {fitted.after.pictures:,} ({fitted.after.joints:,}); right is within "
        f"{evidence['threshold']:g} of the box's longer side: {fitted.after.right:.1%}"
    )
    yield (
        f"score = sigmoid({calibration.slope:.4f} logit(s) + {calibration.intercept:.4f}), s at T = "
        f"{calibration.temperature:g}"
    )
    yield f"{'held out':<44}{'plain':>10}{'calibrated':>12}"
    names = {
        "ece": f"expected calibration error, {len(fitted.after.bins)} bins",
        "ece_by_chance": "  of a perfect score, by chance",
        "spearman": "rank correlation with correctness",
        "brier": "Brier score",
        "log_loss": "log loss",
    }
    before, after = fitted.before.figures(), fitted.after.figures()
    for name, words in names.items():
        yield f"{words:<44}{_figure(before[name]):>10}{_figure(after[name]):>12}"
    losses = ", ".join(f"{name} {_figure(value)}" for name, value in fitted.losses.items())
    yield f"log loss by the way the axes are combined (cross-validated): {losses}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
