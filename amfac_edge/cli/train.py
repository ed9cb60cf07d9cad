"""amfac-train: a recipe's network learns from annotated people."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.accuracy import PROTOCOLS
from amfac_edge.cli.command import CommandParser, ProgressBar, run_command, say_left_out
from amfac_edge.datasets import generated_people, join_people, load_people
from amfac_edge.declared.recipe import load_recipe, recipe_from_json
from amfac_edge.errors import InputError, typed
from amfac_edge.keypoints import skeleton
from amfac_edge.sessions import usable_cores

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.training_fields import OptimizationRule

__all__ = ["main"]

_GENERATED_PREFIX = "generated:"
_GENERATED = re.compile(_GENERATED_PREFIX + r"(\d{1,7})(?::(\d{1,9}))?")
_EXAMPLES = """examples:
  amfac-train amfacpose-r18-256x256 --data person_keypoints_train2017.json --images train2017 \\
      --val person_keypoints_val2017.json --val-images val2017 --out runs/r18
  amfac-train amfacpose-r18-256x256 --data coco.toml --val val.toml --out runs/r18 --resume
  amfac-train amfacpose-r18-128x128 --data generated:2000 --val generated:200:1 --epochs 10 --out runs/try
  torchrun --nproc-per-node 4 -m amfac_edge.cli.train amfacpose-r34-384x288 --data coco.toml --out runs/r34

data: COCO keypoints or CrowdPose as published, any JSON of that form, a data table (.toml), or generated:COUNT[:SEED],
figures that this program draws. --data and --images may be given several times, in the same order.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command("amfac-train", lambda: _train(_parser().parse_args(argv)), argv)


def _parser() -> CommandParser:
    parser = CommandParser("amfac-train", __doc__, epilog=_EXAMPLES)
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="a recipe's name, or the path of its TOML")
    add("--data", action="append", required=True, metavar="JSON|TOML|generated:N", help="people to learn from")
    add("--images", action="append", type=Path, metavar="DIR|TAR", help="their pictures (default: the data table's)")
    add("--val", metavar="JSON|TOML|generated:N", help="held-out people: scored after each epoch, the best are kept")
    add("--val-images", type=Path, metavar="DIR|TAR", help="their pictures")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for weights, log and curves")
    add("--resume", action="store_true", help="go on with the training in --out")
    add("--init", type=Path, metavar="FILE", help="begin with a checkpoint's weights, as far as they fit")
    add("--key-map", type=Path, metavar="TOML", help="renames the keys of --init, which may then be of any network")
    add(
        "--optimization", choices=("scratch", "paper"), default="scratch", help="the recipe's [training.scratch], "
        "recommended for fresh weights (default), or [training.paper], as printed"
    )  # fmt: skip
    add("--epochs", type=int, metavar="N", help="instead of the recipe's")
    add("--batch-size", type=int, metavar="N", help="people in a step, over all processes")
    add("--lr", type=float, metavar="R", help="highest learning rate")
    add("--weight-decay", type=float, metavar="W")
    add("--schedule", choices=("constant", "cosine", "step"))
    add("--warmup-epochs", type=float, metavar="N")
    add("--ema", type=float, metavar="D", help="decay of averaged weights for each step, 0 for none")
    add("--clip", type=float, metavar="G", help="largest norm of the gradient, 0 for any")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read and crop (default: the recipe's, at most the cores)",
    )
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="auto: bf16 on a GPU, else fp32")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda or cuda:N")
    add("--seed", type=int, default=0, metavar="S", help="of weights, order and augmentation (0)")
    add("--protocol", choices=PROTOCOLS, help="of the score; default: that of the data's skeleton")
    add("--score-every", type=int, default=1, metavar="N", help="epochs between two scores (1)")
    add("--map-joints", action="store_true", help="map the data's joints to the recipe's by name")
    add("--skip-faults", action="store_true", help="leave out faulty annotations and pictures, and name them")
    add("--json", action="store_true", help="the last epoch's record and the files, as JSON on standard output")
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from amfac_edge.training import STATE, TrainingPlan, joined_processes, train  # noqa: PLC0415 - torch takes seconds to load

    recipe, rule = _told(arguments)
    with joined_processes(arguments.device) as processes:
        held_out = _people(arguments, recipe, arguments.val, arguments.val_images) if arguments.val else None
        on_gpu = processes.device.type == "cuda"
        plan = TrainingPlan(
            recipe=recipe,
            rule=rule,
            people=_all_people(arguments, recipe),
            held_out=held_out,
            out=arguments.out,
            seed=arguments.seed,
            precision=("bf16" if on_gpu else "fp32") if arguments.precision == "auto" else arguments.precision,
            init=arguments.init,
            key_map=arguments.key_map,
            protocol=arguments.protocol,
            on_fault=_on_fault(arguments),
            score_every=arguments.score_every,
        )
        if processes.is_first:
            _say_what(plan.recipe, rule, plan.people, held_out)
        try:
            result = train(plan, processes, _Watcher(), resume=arguments.resume)
        except KeyboardInterrupt:
            if (arguments.out / STATE).exists() and processes.is_first:
                _say(f"\nThe same command with --resume goes on from {arguments.out / STATE}.")
            raise
    if processes.is_first:
        _say(_ending(arguments.out, result.best, result.metric))
        if arguments.json:
            files = sorted(path.name for path in arguments.out.iterdir() if path.is_file())
            last = result.history[-1]
            print(json.dumps({"out": str(arguments.out), "files": files, "best": result.best, "last": last}))
    return 0


def _told(arguments: argparse.Namespace) -> tuple[Recipe, OptimizationRule]:
    """The recipe and its optimization with what the command line says instead, checked as a recipe's file is."""
    recipe = load_recipe(arguments.recipe)
    data = recipe.as_json()
    if "training" not in data or recipe.family == "simcc-onnx":
        raise InputError(f"recipe {recipe.name}: is of a network that is known by its ONNX only", cure="Take another.")
    if arguments.seed < 0 or arguments.score_every < 1:
        raise InputError(
            f"--seed {arguments.seed} --score-every {arguments.score_every}: no such numbers",
            cure="Give a seed from 0 on, and --score-every from 1 on.",
        )
    if arguments.key_map is not None and arguments.init is None:
        raise InputError(f"--key-map {arguments.key_map}: there are no keys to rename", cure="Give --init FILE.")
    of_val = {
        "--val-images": arguments.val_images,
        "--protocol": arguments.protocol,
        "--score-every": arguments.score_every > 1,
    }
    given = [name for name, value in of_val.items() if value]
    if given and arguments.val is None:
        raise InputError(f"{', '.join(given)} without --val: nobody is held out to be scored", cure="Give --val.")
    training, rule = data["training"], data["training"][arguments.optimization]
    for table, names in (
        (training, ("epochs", "batch_size", "workers")),
        (rule, ("lr", "weight_decay", "schedule", "warmup_epochs", "ema", "clip")),
    ):
        table.update({name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None})
    if arguments.workers is None:
        training["workers"] = min(training["workers"], usable_cores())
    changed = recipe_from_json(data, where="the command line with the recipe " + recipe.name)
    return changed, getattr(changed.training, arguments.optimization)


def _all_people(arguments: argparse.Namespace, recipe: Recipe) -> PeopleSet:
    images: list[Path | None] = list(arguments.images or [])
    if len(images) > len(arguments.data):
        raise InputError(
            f"{len(images)} --images for {len(arguments.data)} --data", cure="Give one for each, in the same order."
        )
    images += [None] * (len(arguments.data) - len(images))
    sets = [_people(arguments, recipe, *pair) for pair in zip(arguments.data, images, strict=True)]
    return sets[0] if len(sets) == 1 else join_people(sets)


def _people(arguments: argparse.Namespace, recipe: Recipe, data: str, images: Path | None) -> PeopleSet:
    generated = _GENERATED.fullmatch(data)
    if generated and images is not None:
        raise InputError(
            f"{images} as the pictures of {data}, which are drawn",
            cure="Leave it out; --images are those of the first --data, the second and so on, so name drawn ones last.",
        )
    if generated:
        # Large enough that a crop of the recipe's size shows what was drawn, not what was interpolated.
        size = max(160, recipe.crop.height, recipe.crop.width)
        count, seed = generated.groups(default="0")
        return generated_people(int(count), int(seed), skeleton=recipe.skeleton, height=size, width=size)
    if data.startswith(_GENERATED_PREFIX):
        raise InputError(
            f"{data}: no such generated people",
            cure="Give generated:COUNT or generated:COUNT:SEED, "
            "with a count from 1 to 9999999 and a seed from 0 to 999999999.",
        )
    return load_people(
        Path(data),
        images=images,
        skeleton=skeleton(recipe.skeleton),
        map_joints=arguments.map_joints,
        on_fault=_on_fault(arguments),
    )


def _on_fault(arguments: argparse.Namespace) -> OnFault:
    return "skip" if arguments.skip_faults else "refuse"


class _Watcher:
    """Shows a training: a bar with the time left while an epoch runs, a line when it is done."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None

    def note(self, text: str) -> None:
        """See `training.Watcher`."""
        _say(text)

    def epoch_began(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        """See `training.Watcher`."""
        self._bar = ProgressBar(f"epoch {epoch}/{epochs}", batches, done=done)
        self._bar.__enter__()

    def step_done(self, loss: float) -> None:
        """See `training.Watcher`."""
        if self._bar is not None:
            self._bar.advance(note=f"loss {loss:.4f}")

    def epoch_done(self, record: dict[str, Any]) -> None:
        """See `training.Watcher`."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        scores = [f"{name} {value:.4f}" for name, value in record.items() if name.startswith(("AP", "AR", "PCK"))]
        _say(
            f"epoch {record['epoch']}: loss {record['loss']:.4f}, lr {record['lr']:.2e}, "
            f"{record['crops_per_second']:.0f} crops/s" + "".join(f", {score}" for score in scores)
        )


def _say_what(recipe: Recipe, rule: OptimizationRule, people: PeopleSet, held_out: PeopleSet | None) -> None:
    training = recipe.training
    _say(
        f"{recipe.name}: {int(people.labelled.sum()):,} people of {people.name}, {training.epochs} epochs of batches "
        f"of {training.batch_size}, lr {rule.lr:g} ({rule.schedule})"
    )
    _say(f"scored on {held_out.name}: {int(held_out.labelled.sum()):,} people" if held_out else "not scored: no --val")
    say_left_out(people.faults + (held_out.faults if held_out else ()))


def _ending(out: Path, best: float | None, metric: str) -> str:
    file = "last.safetensors" if best is None else "best.safetensors"
    score = "" if best is None else f" ({metric} {best:.4f})"
    return f"done: {out / file}{score}; next: amfac-export {typed(out / file)} --target cpu"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
