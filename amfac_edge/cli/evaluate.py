"""amfac-eval: the score of a checkpoint, an ONNX, a plan or saved predictions on annotated people."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy import (
    PROTOCOLS,
    curve_picture,
    ground_truth_boxes,
    load_boxes,
    load_predictions,
    matched_people,
    paired_difference,
    predict_people,
    predictor_from_onnx,
    require_scorable,
    require_threshold,
    robustness_curve,
    save_predictions,
    score_people,
    write_curve,
)
from amfac_edge.cli.command import CommandParser, ProgressBar, run_command, say_left_out
from amfac_edge.cli.evaluate_calibration import (
    add_calibration_options,
    calibrate,
    check_calibration,
    draw_reliability,
    pck_threshold,
)
from amfac_edge.cli.evaluate_pictures import (
    add_picture_options,
    check_outputs,
    check_pictures,
    draw_attention,
    draw_people,
)
from amfac_edge.cli.evaluate_report import Result, report_json, report_lines
from amfac_edge.cli.gpu_options import add_gpu_options, gpu_options
from amfac_edge.datasets import load_people
from amfac_edge.drawing import write_picture
from amfac_edge.errors import InputError
from amfac_edge.keypoints import skeleton, skeleton_names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from amfac_edge.accuracy import Boxes, Interval, Predictions, Predictor, Protocol, Score
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe

__all__ = ["main"]

_EXPORTED = (".onnx", ".plan")
_GT = "gt"
_UNTRAINED = "untrained weights: this score means nothing"
_EXAMPLES = """examples:
  amfac-eval model.cpu.fp32.onnx --data person_keypoints_val2017.json --images val2017
  amfac-eval model.pth --data val.json --images val.tar --boxes gt --boxes detections.json --flip
  amfac-eval --predictions results.json --data val.json --bootstrap 1000
  amfac-eval model.pth --data lsp.json --images lsp.tar --protocol pck --worst cases.png
  amfac-eval model.pth --data val.json --images val2017 --grid poses.png --attention gates.png

data: COCO keypoints or CrowdPose as published, any JSON of that form, or a data table (.toml).
--json: AP, AP50, AP75, APm, APl, AR (CrowdPose: and APeasy, APmedium, APhard) as fractions; all else in "details".
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-eval", lambda: _evaluate(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-eval", __doc__, epilog=_EXAMPLES)
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="an artefact of amfac-export, a raw twin, or a checkpoint",
    )
    add("--predictions", type=Path, metavar="JSON", help="score this COCO results list instead of a model")
    add("--data", required=True, type=Path, metavar="JSON|TOML", help="the annotations, or a data table")
    add("--images", type=Path, metavar="DIR|TAR", help="the pictures (default: those of the data table)")
    add(
        "--boxes", action="append", metavar="gt|JSON", help="where to look: the annotated boxes (default), or a "
        "detector's COCO results; twice for both"
    )  # fmt: skip
    add("--flip", action="store_true", help="average with the mirrored crop (needs logits: a checkpoint or raw twin)")
    add("--protocol", choices=PROTOCOLS, help="default: that of the data's skeleton")
    add("--pck", type=float, metavar="T", help="PCK's threshold, of the box's longer side (0.1)")
    add("--recipe", metavar="NAME|TOML", help="of a checkpoint, where the file's own is not wanted")
    add("--key-map", type=Path, metavar="TOML", help="renames a checkpoint's keys")
    add("--skeleton", choices=skeleton_names(), help="of data whose file names no joints (with --predictions)")
    add("--map-joints", action="store_true", help="map the data's joints to the model's by name")
    add("--skip-faults", action="store_true", help="leave out faulty annotations and pictures, and name them")
    add("--bootstrap", type=int, default=0, metavar="N", help="95 %% intervals from N resamples of the pictures")
    add("--seed", type=int, default=0, metavar="S", help="of the bootstrap and of who is drawn (0)")
    add("--against", type=Path, metavar="JSON", help="other predictions: the difference's interval (with --bootstrap)")
    add("--save-predictions", type=Path, metavar="JSON", help="write a COCO results list")
    add_picture_options(parser)
    add("--robustness", type=Path, metavar="CSV", help="score under low light and motion blur; a .png beside it")
    add_calibration_options(parser)
    add_gpu_options(parser)
    add("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _evaluate(arguments: argparse.Namespace) -> int:
    _check(arguments)
    with _opened(arguments) as predictor:
        recipe = predictor.recipe if predictor else None
        people = _people(arguments, recipe)
        check_pictures(arguments, people)
        if arguments.calibrate_score:
            return calibrate(arguments, predictor, people)
        protocol = require_scorable(people, arguments.protocol)
        _check_protocol(arguments, protocol)
        other = load_predictions(arguments.against, people) if arguments.against else None
        draw_attention(arguments, people)
        results = list(_results(arguments, predictor, people, protocol))
        if arguments.robustness and predictor is not None:
            _robustness(arguments, predictor, people, protocol)
    _save(arguments, results[0])
    first, trained = results[0], predictor.trained if predictor else None
    draw_people(arguments, first.people, first.predictions, protocol, first.boxes, trained=trained)
    reliability = draw_reliability(arguments, results[0].people, results[0].predictions)
    difference = _difference(arguments, results[0], other, protocol) if other is not None else {}
    if arguments.json:
        answer = report_json(results, people, recipe, protocol, difference)
        answer["details"] |= reliability
        print(json.dumps(answer, allow_nan=False))
    else:
        print("\n".join(report_lines(results, recipe, protocol)))
        for name, interval in difference.items():
            print(f"{name} minus {arguments.against.name}: 95 % within {interval.low:+.4f} and {interval.high:+.4f}")
    _say_remarks(arguments, results, people, predictor)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded."""
    if (arguments.file is None) == (arguments.predictions is None):
        raise InputError("give a FILE or --predictions, one of them", cure="amfac-eval --help shows both forms.")
    model_only = {
        "--boxes": arguments.boxes, "--flip": arguments.flip, "--recipe": arguments.recipe,
        "--key-map": arguments.key_map, "--robustness": arguments.robustness,
    }  # fmt: skip
    given = [name for name, value in model_only.items() if value]
    if arguments.predictions is not None and given:
        raise InputError(
            f"{', '.join(given)} with --predictions: saved predictions run no model", cure="Leave it out, or give FILE."
        )
    _check_kind(arguments)
    resamples = arguments.bootstrap
    if resamples < 0 or resamples == 1 or arguments.seed < 0 or (arguments.against and not resamples):
        raise InputError(
            f"--bootstrap {arguments.bootstrap} --seed {arguments.seed}: no such resampling",
            cure="Give --bootstrap 1000; --against needs it too.",
        )
    if arguments.robustness and arguments.robustness.suffix.lower() != ".csv":
        raise InputError(f"{arguments.robustness}: not a .csv", cure="Name it FILE.csv; the picture is FILE.png.")
    require_threshold(pck_threshold(arguments))
    if arguments.protocol:
        _check_protocol(arguments, arguments.protocol)
    check_calibration(arguments)
    check_outputs(arguments)


def _check_kind(arguments: argparse.Namespace) -> None:
    """Refuse options that this kind of FILE takes no notice of."""
    exported = arguments.file is not None and arguments.file.suffix.lower() in _EXPORTED
    only = {
        "--recipe": (arguments.recipe and exported, "an exported file has its recipe in it"),
        "--key-map": (arguments.key_map and exported, "an exported file has no keys"),
        "--skeleton": (arguments.skeleton and arguments.file, "the model's own is taken"),
        "--provider": (arguments.provider and not exported, "it is of an .onnx"),
        "--cuda": (arguments.cuda and not exported, "it is of a .plan"),
        "--wait": (arguments.wait != "block" and not exported, "it is of a .plan"),
        "--allow-host-code": (arguments.allow_host_code and not exported, "it is of a .plan"),
    }
    for name, (idle, reason) in only.items():
        if idle:
            given = arguments.file or "--predictions"
            raise InputError(f"{name} with {given}: {reason}", cure="Leave it out.")


def _check_protocol(arguments: argparse.Namespace, protocol: Protocol) -> None:
    """Refuse what means nothing by this protocol."""
    if protocol == "pck" and arguments.against:
        raise InputError("--against compares OKS AP, not PCK", cure="Use --protocol coco or crowdpose.")
    if protocol != "pck" and arguments.pck is not None and not (arguments.reliability or arguments.calibrate_score):
        raise InputError(
            f"--pck {arguments.pck:g} with the protocol {protocol}: OKS has no such threshold",
            cure="Add --protocol pck, or leave --pck out.",
        )


@contextlib.contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Predictor | None]:
    """The model as a predictor; None for saved predictions."""
    if arguments.file is None:
        yield None
    elif arguments.file.suffix.lower() in _EXPORTED:
        with predictor_from_onnx(arguments.file, flip=arguments.flip, gpu=gpu_options(arguments)) as predictor:
            yield predictor
    else:
        from amfac_edge.pipeline.evaluating import predictor_from_checkpoint  # noqa: PLC0415 - torch, where it is needed

        yield predictor_from_checkpoint(
            arguments.file, recipe=arguments.recipe, key_map=arguments.key_map, flip=arguments.flip
        )


def _people(arguments: argparse.Namespace, recipe: Recipe | None) -> PeopleSet:
    name = recipe.skeleton if recipe else arguments.skeleton
    return load_people(
        arguments.data,
        images=arguments.images,
        skeleton=skeleton(name) if name else None,
        map_joints=arguments.map_joints,
        on_fault="skip" if arguments.skip_faults else "refuse",
    )


def _results(
    arguments: argparse.Namespace, predictor: Predictor | None, people: PeopleSet, protocol: Protocol
) -> Iterator[Result]:
    """One result for each source of boxes."""
    if predictor is None:
        predictions = load_predictions(arguments.predictions, people)
        yield Result("as saved", _score(arguments, people, predictions, protocol), predictions, people)
        return
    given = {name: _boxes(name, people) for name in arguments.boxes or [_GT]}
    counts = Counter(boxes.source for boxes in given.values())
    for name, boxes in given.items():
        source = boxes.source if counts[boxes.source] == 1 else name
        with ProgressBar(f"boxes: {source}", len(boxes.boxes)) as bar:
            found = predict_people(
                predictor, people, boxes, on_fault="skip" if arguments.skip_faults else "refuse", progress=bar.advance
            )
        seen = people
        if found.unread:
            seen = people.of_images(people.images.keys() - found.unread.keys())
            seen = replace(seen, faults=(*people.faults, *found.unread.values()))
        yield Result(source, _score(arguments, seen, found.predictions, protocol), found.predictions, seen)


def _boxes(name: str, people: PeopleSet) -> Boxes:
    return ground_truth_boxes(people) if name == _GT else load_boxes(Path(name), people)


def _score(arguments: argparse.Namespace, people: PeopleSet, predictions: Predictions, protocol: Protocol) -> Score:
    return score_people(
        people,
        predictions,
        protocol,
        resamples=arguments.bootstrap,
        seed=arguments.seed,
        pck_threshold=pck_threshold(arguments),
    )


def _robustness(arguments: argparse.Namespace, predictor: Predictor, people: PeopleSet, protocol: Protocol) -> None:
    boxes = _boxes((arguments.boxes or [_GT])[0], people)
    on_fault: OnFault = "skip" if arguments.skip_faults else "refuse"
    with ProgressBar("robustness", 11 * len(boxes.boxes)) as bar:
        points = robustness_curve(
            predictor,
            people,
            boxes,
            protocol,
            pck_threshold=pck_threshold(arguments),
            on_fault=on_fault,
            progress=bar.advance,
        )
    write_curve(arguments.robustness, points)
    write_picture(arguments.robustness.with_suffix(".png"), curve_picture(points))
    _say(f"saved {arguments.robustness} and {arguments.robustness.with_suffix('.png').name}")


def _save(arguments: argparse.Namespace, result: Result) -> None:
    if arguments.save_predictions:
        save_predictions(arguments.save_predictions, result.predictions)
        _say(f"saved {arguments.save_predictions}: {len(result.predictions):,} people, boxes: {result.boxes}")


def _difference(
    arguments: argparse.Namespace, result: Result, other: Predictions, protocol: Protocol
) -> dict[str, Interval]:
    seen = other.chosen(np.isin(other.image_ids, list(result.people.images)))
    crowdpose = protocol == "crowdpose"
    ours, theirs = (matched_people(result.people, each, crowdpose=crowdpose) for each in (result.predictions, seen))
    return paired_difference(ours, theirs, arguments.bootstrap, arguments.seed)


def _say_remarks(
    arguments: argparse.Namespace, results: list[Result], people: PeopleSet, predictor: Predictor | None
) -> None:
    faults = dict.fromkeys(fault for result in results for fault in result.people.faults)
    say_left_out(list(faults))
    if arguments.map_joints:
        bare = [n for k, n in enumerate(people.skeleton.joints) if not (people.keypoints[:, k, 2] > 0).any()]
        _say(f"joints that the data lack, not scored: {', '.join(bare) or 'none'}")
    if predictor is not None and predictor.trained is False:
        _say(_UNTRAINED)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
