"""Training, from top to bottom: `train` is the loop, what it calls stands below it in the order of use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from amfac_edge.accuracy import protocol_of, require_scorable
from amfac_edge.declared.training_fields import optimization_as_json
from amfac_edge.errors import InputError
from amfac_edge.files import writable_folder
from amfac_edge.networks import save_checkpoint
from amfac_edge.training.batches import BatchLoader
from amfac_edge.training.crops import CropSet
from amfac_edge.training.first_weights import first_weights
from amfac_edge.training.journal import write_journal
from amfac_edge.training.learner import Learner, NotFiniteError
from amfac_edge.training.optimization import learning_rate
from amfac_edge.training.states import Progress, load_state, save_state
from amfac_edge.training.validation import held_out_score

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from amfac_edge.accuracy import Protocol as ScoreProtocol
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.training_fields import OptimizationRule
    from amfac_edge.training.batches import Batch
    from amfac_edge.training.learner import Precision
    from amfac_edge.training.processes import Processes

__all__ = ["BEST", "LAST", "STATE", "Trained", "TrainingPlan", "Watcher", "train"]

BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.safetensors"


@dataclass(frozen=True)
class TrainingPlan:
    """What shall be trained, on whom, and where it is kept.

    Attributes:
        recipe: of the network; its `training` gives epochs, batch size, workers and augmentation.
        rule: of the optimizer; the recipe's `training.paper` or `.scratch`, or another one.
        people: to learn from, of the recipe's skeleton.
        held_out: to score by; None scores nothing, and no weights are called the best.
        out: folder for `best.safetensors`, `last.safetensors` (both to export), `state.safetensors` (to go on),
            `log.csv`, `log.json` and `curves.png`.
        seed: of the fresh weights, of the order and of the augmentation.
        precision: "fp32", "bf16", or "fp16" on a GPU.
        init: a checkpoint to begin with; what of it doesn't fit the recipe begins fresh.
        key_map: TOML that renames its keys.
        protocol: by which `held_out` is scored; None for that of its skeleton.
        on_fault: "skip" passes over pictures that can't be read; "refuse" stops.
        score_every: epochs; the last one is always scored.
        save_every_s: seconds between two saves of the state within an epoch.
    """

    recipe: Recipe
    rule: OptimizationRule
    people: PeopleSet
    held_out: PeopleSet | None
    out: Path
    seed: int = 0
    precision: Precision = "fp32"
    init: Path | None = None
    key_map: Path | None = None
    protocol: ScoreProtocol | None = None
    on_fault: OnFault = "refuse"
    score_every: int = 1
    save_every_s: float = 300.0

    @property
    def metric(self) -> str:
        """The score that decides which weights are the best."""
        if self.held_out is None:
            return "loss"
        return "PCK" if (self.protocol or protocol_of(self.held_out)) == "pck" else "AP"

    def scored_after(self, epoch: int) -> PeopleSet | None:
        """Those by whom the network is scored after this epoch (from 1); None where it is not."""
        return self.held_out if epoch == self.recipe.training.epochs or epoch % self.score_every == 0 else None


@dataclass(frozen=True)
class Trained:
    """What came out.

    Attributes:
        history: a record for each epoch, as in log.json.
        best: the highest score of `metric`; None where nothing was scored.
        metric: its name.
    """

    history: list[dict[str, Any]]
    best: float | None
    metric: str


class Watcher(Protocol):
    """Is told how a training goes; on rank 0 only."""

    def note(self, text: str) -> None:
        """A sentence for the user."""
        ...

    def epoch_began(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        """Epoch `epoch` of `epochs`, from 1, has `batches`, of which `done` were done before."""
        ...

    def step_done(self, loss: float) -> None:
        """One batch more."""
        ...

    def epoch_done(self, record: dict[str, Any]) -> None:
        """The record of an epoch, as in log.json."""
        ...


def train(plan: TrainingPlan, processes: Processes, watcher: Watcher, *, resume: bool = False) -> Trained:
    """Train, score each epoch, keep the best and the last weights.

    A training that goes on (`resume`) after an interruption continues with the next batch; on a CPU, with the same
    number of threads, every weight is then bit for bit that of a training that was never interrupted.

    Args:
        plan: what to do; the same on every process.
        processes: of `joined_processes`.
        watcher: told of progress on rank 0.
        resume: go on from the state in `plan.out`.

    Raises:
        InputError: nobody to learn from or to score by, another skeleton, no pictures, a batch that can't be shared
            among the processes, a folder with another training, or a loss that is not finite: the last saved state is
            kept.
        MissingExtraError: pycocotools is not installed, and the score is by OKS.
        FrameError: a picture can't be read, and `on_fault` is "refuse".
        OutputError: the disk is full; the files of the last save are kept.
    """
    training = plan.recipe.training
    loader = _loader(plan, processes)
    _check_people(plan)
    _check_folder(plan.out, resume=resume)
    network, said = first_weights(plan.recipe, plan.seed, None if resume else plan.init, plan.key_map)
    learner = Learner(plan.recipe, plan.rule, processes, precision=plan.precision, network=network)
    keeper = _Keeper(plan, processes, learner)
    progress = keeper.resumed() if resume else Progress()
    if processes.is_first:
        watcher.note(f"goes on after {progress.steps:,} steps" if resume else said)
    epochs, batches = training.epochs, loader.batches
    for epoch in range(progress.epoch, epochs):
        began, first = time.monotonic(), progress.batch
        if processes.is_first:
            watcher.epoch_began(epoch + 1, epochs, batches, first)
        for batch in loader.epoch(epoch, start=first):
            rate = learning_rate(plan.rule, progress.steps, batches, epochs)
            progress.loss_sum += _learned(learner, batch, rate, plan, loader)
            progress.steps += 1
            progress.batch += 1
            if processes.is_first:
                watcher.step_done(progress.loss_sum / progress.batch)
                keeper.save_if_due(progress)
        seconds = time.monotonic() - began
        record = {
            "epoch": epoch + 1,
            "loss": progress.loss_sum / batches,
            "lr": learning_rate(plan.rule, progress.steps - 1, batches, epochs),
            "seconds": round(seconds, 3),
            "crops_per_second": round((batches - first) * training.batch_size / seconds, 1),
            **_left_out(loader, processes),
        }
        held_out = plan.scored_after(epoch + 1)
        if held_out is not None and processes.is_first:
            keeper.save(progress)  # whatever ends the scoring, the epoch is not lost
        with learner.released() as network:
            if held_out is not None:
                record |= _scores(plan, held_out, network, processes)
            progress.history.append(record)
            progress.epoch, progress.batch, progress.loss_sum = epoch + 1, 0, 0.0
            if processes.is_first:
                keeper.keep_epoch(progress, network)
                watcher.epoch_done(record)
    return Trained(progress.history, progress.best, plan.metric)


def _loader(plan: TrainingPlan, processes: Processes) -> BatchLoader:
    training = plan.recipe.training
    if training.batch_size % processes.count:
        raise InputError(
            f"a batch of {training.batch_size} can't be shared evenly by {processes.count} processes",
            cure=f"Use a --batch-size that is a multiple of {processes.count}.",
        )
    crops = CropSet(plan.people, plan.recipe, training.augmentation, seed=plan.seed, on_fault=plan.on_fault)
    return BatchLoader(
        crops,
        batch_size=training.batch_size // processes.count,
        workers=training.workers,
        seed=plan.seed,
        rank=processes.rank,
        world_size=processes.count,
        pin_memory=processes.device.type == "cuda",
    )


def _check_people(plan: TrainingPlan) -> None:
    plan.people.require_pictures()
    if plan.held_out is not None:
        plan.held_out.require_pictures()
        require_scorable(plan.held_out, plan.protocol)


def _check_folder(out: Path, *, resume: bool) -> None:
    there = [name for name in (STATE, BEST, LAST) if (out / name).exists()]
    goes_on = STATE in there
    if resume and not goes_on:
        cure = (
            "Choose another --out; --init begins with these weights." if there else "Leave --resume out to begin one."
        )
        raise InputError(f"{out / STATE}: there is no training to go on with", cure=cure)
    if not resume and there:
        cure = "Go on with it by --resume, or choose another --out." if goes_on else "Choose another --out."
        raise InputError(f"{out}: has a training already ({there[0]})", cure=cure)
    writable_folder(out)


def _learned(learner: Learner, batch: Batch, rate: float, plan: TrainingPlan, loader: BatchLoader) -> float:
    try:
        return learner.step(batch, rate)
    except NotFiniteError as error:
        pictures = ", ".join(loader.crops.picture_names(batch.indices.tolist()))
        kept = f"{plan.out / STATE} has the last good state" if (plan.out / STATE).exists() else "nothing was saved yet"
        raise NotFiniteError(
            f"{error.problem} in a batch of the pictures {pictures}; {kept}", cure=error.cure
        ) from None


def _left_out(loader: BatchLoader, processes: Processes) -> dict[str, int]:
    """How many pictures no process could read, if any."""
    names = {name for faults in processes.gather(sorted(loader.faults)) for name in faults}
    return {"left_out": len(names)} if names else {}


def _scores(plan: TrainingPlan, held_out: PeopleSet, network: nn.Module, processes: Processes) -> dict[str, float]:
    return held_out_score(network, plan.recipe, held_out, processes, protocol=plan.protocol, on_fault=plan.on_fault)


class _Keeper:
    """Writes a training's files on rank 0."""

    def __init__(self, plan: TrainingPlan, processes: Processes, learner: Learner) -> None:
        self._plan = plan
        self._learner = learner
        self._settings = _settings(plan, processes)
        self._saved_at = time.monotonic()

    def resumed(self) -> Progress:
        """The state of the folder, put into the learner."""
        learner = self._learner
        path = self._plan.out / STATE
        progress = load_state(path, self._settings, learner.network, learner.optimizer, learner.average)
        if progress.scale:
            learner.scaler.load_state_dict(progress.scale)
        return progress

    def save_if_due(self, progress: Progress) -> None:
        """Save the state, some minutes after the last time."""
        if time.monotonic() - self._saved_at >= self._plan.save_every_s:
            self.save(progress)

    def keep_epoch(self, progress: Progress, network: nn.Module) -> None:
        """Keep the last weights, the best, the journal, and at the end the state: it says that the rest is there."""
        plan, record = self._plan, progress.history[-1]
        facts = {"training": {name: record[name] for name in record if name != "seconds"} | {"seed": plan.seed}}
        save_checkpoint(plan.out / LAST, network, plan.recipe, trained=True, extra=facts)
        score = record.get(plan.metric) if plan.held_out is not None else None
        # Of equal ones the later: early epochs may all have an AP of 0.
        if score is not None and (progress.best is None or score >= progress.best):
            progress.best = score
            save_checkpoint(plan.out / BEST, network, plan.recipe, trained=True, extra=facts)
        write_journal(plan.out, self._settings | {"metric": plan.metric}, progress.history)
        self.save(progress)

    def save(self, progress: Progress) -> None:
        """Save the state."""
        learner = self._learner
        progress.scale = learner.scaler.state_dict()
        save_state(
            self._plan.out / STATE, progress, self._settings, learner.network, learner.optimizer, learner.average
        )
        self._saved_at = time.monotonic()


def _settings(plan: TrainingPlan, processes: Processes) -> dict[str, Any]:
    """What must be the same when a training goes on: all that changes a weight or says which are the best."""
    recipe, held_out = plan.recipe.as_json(), plan.held_out
    # Scores of others, or by another protocol, can't be compared with the best so far.
    judges = None
    if held_out is not None:
        judges = _identity(held_out) | {"protocol": plan.protocol or protocol_of(held_out)}
    del recipe["training"]["workers"], recipe["training"]["paper"], recipe["training"]["scratch"]
    return {
        "recipe": recipe,
        "optimization": optimization_as_json(plan.rule),
        "data": _identity(plan.people),
        "held_out": judges,
        "seed": plan.seed,
        "precision": plan.precision,
        "processes": processes.count,
        "on_fault": plan.on_fault,
    }


def _identity(people: PeopleSet) -> dict[str, Any]:
    return {"name": people.name, "people": len(people), "sha256": people.digest()}
