"""Run by torchrun: what each of two processes sees, written for the test that compares it with one process.

torchrun --standalone --nproc-per-node 2 two_processes.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.networks import weights_digest
from amfac_edge.networks.fresh import fresh_network
from amfac_edge.training import Processes, TrainingPlan, joined_processes, train
from amfac_edge.training.batches import Batch
from amfac_edge.training.learner import Learner

SIZE = 64


def frozen_gradients(recipe: Recipe, processes: Processes, part: slice) -> dict[str, torch.Tensor]:
    """The gradients of a part of one batch, averaged over the processes, with the batch statistics frozen."""
    learner = Learner(recipe, recipe.training.scratch, processes, network=fresh_network(recipe, 3))
    learner.network.eval()
    learner.loss(batch()[part]).backward()  # type: ignore[no-untyped-call]
    return {name: each.grad.contiguous() for name, each in learner.network.named_parameters() if each.grad is not None}


class _Parts:
    def __getitem__(self, part: slice) -> Batch:
        generator = torch.Generator().manual_seed(4)
        crops = torch.randint(0, 256, (8, SIZE, 48, 3), generator=generator, dtype=torch.uint8)
        points = torch.rand(8, 17, 2, generator=generator) * 47
        # Other numbers of labels in the two halves: a mean over labels must not be a mean of means.
        weights = (torch.rand(8, 17, generator=generator) > torch.linspace(0.1, 0.9, 8)[:, None]).float()
        return Batch(crops[part], points[part], weights[part], torch.arange(8)[part])


def batch() -> _Parts:
    """Eight crops."""
    return _Parts()


def recipes(path: Path) -> dict[str, Recipe]:
    """The recipe with both kinds of mean."""
    recipe = load_recipe(path)
    return {name: replace(recipe, loss=replace(recipe.loss, mean_over=name)) for name in ("all", "labelled")}


def plan(recipe: Recipe, out: Path) -> TrainingPlan:
    """Two short epochs, scored."""
    training = replace(recipe.training, epochs=2, batch_size=4, workers=0)
    return TrainingPlan(
        recipe=replace(recipe, training=training),
        rule=training.scratch,
        people=generated_people(8, 0, height=SIZE, width=SIZE),
        held_out=generated_people(5, 1, height=SIZE, width=SIZE),
        out=out,
    )


class _Silent:
    def note(self, text: str) -> None:
        pass

    def epoch_began(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        pass

    def step_done(self, loss: float) -> None:
        pass

    def epoch_done(self, record: dict[str, Any]) -> None:
        pass


def main(folder: Path) -> None:
    """Write gradients (rank 0), and each rank's parameters and scores after a training."""
    with joined_processes("cpu") as processes:
        half = slice(4 * processes.rank, 4 * processes.rank + 4)
        found = recipes(folder / "recipe.toml")
        for name, recipe in found.items():
            gradients = frozen_gradients(recipe, processes, half)
            if processes.is_first:
                save_file(gradients, folder / f"{name}.safetensors")
        seen: list[str] = []
        after_step = Learner.step

        def step(learner: Learner, part: Batch, rate: float) -> float:
            loss = after_step(learner, part, rate)
            seen.append(weights_digest(dict(learner.network.named_parameters())))
            return loss

        Learner.step = step  # type: ignore[method-assign,assignment]
        result = train(plan(found["all"], folder / "out"), processes, _Silent())
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    facts = {"parameters": seen, "history": result.history, "best": result.best, "threads": threads}
    (folder / f"rank{processes.rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
