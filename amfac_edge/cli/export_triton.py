"""What amfac-export does for Triton: a model repository around what it wrote, and how to serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import TENSORRT, DetectorFacts
from amfac_edge.cli.export_engines import kit_words
from amfac_edge.errors import InputError, OutputError, typed
from amfac_edge.serving import write_triton

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from amfac_edge.pipeline import Exported
    from amfac_edge.pipeline.engines import Engine
    from amfac_edge.serving import TritonModel

__all__ = ["add_triton_option", "check_triton_option", "triton_as_json", "triton_lines", "triton_models"]


def add_triton_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option."""
    parser.add_argument(
        "--triton", type=Path, metavar="DIR", help="also write a Triton model repository there (docs/scale-out.md)"
    )


def check_triton_option(arguments: argparse.Namespace) -> None:
    """Refuse, before any work is spent, what can't be a repository.

    Raises:
        OutputError: it is a file.
        InputError: it is the folder of the artefacts.
    """
    if arguments.triton is None:
        return
    if arguments.triton.exists() and not arguments.triton.is_dir():
        raise OutputError(f"{arguments.triton}: not a folder", cure="Give --triton a folder of its own.")
    if arguments.triton.resolve() == arguments.out.resolve():
        raise InputError(
            f"--triton {arguments.triton} is the folder of the artefacts too",
            cure="Give it a folder of its own: Triton takes every folder in it for a model.",
        )


def triton_models(exported: Exported, engine: Engine | None, out: Path) -> list[TritonModel]:
    """Write the repository's models of one artefact."""
    plan = engine.plan if engine is not None else None
    facts = plan.manifest.plan if plan is not None else None
    # A plan of TensorRT-RTX loads in that library alone, which Triton has no backend for.
    fits = plan is not None and facts is not None and facts.flavour == TENSORRT
    build = kit_words(engine.kit) if engine is not None and engine.kit is not None else ""
    plan_path = plan.path if plan is not None and fits else None
    return write_triton(exported.path, out, for_cpu=engine is None, plan=plan_path, build=build)


def triton_as_json(models: Sequence[TritonModel]) -> dict[str, object]:
    """What was written, for programs."""
    rows = [
        {"model": str(one.folder), "version": one.version, "new": one.is_new, "lacks_plan": one.lacks_plan}
        for one in models
    ]
    return {"triton": rows}


def triton_lines(exported: Exported, engine: Engine | None, models: Sequence[TritonModel]) -> Iterator[str]:
    """What was written and how it is served, in lines."""
    repository = typed(models[0].folder.parent)
    yield f"  {models[0].folder.parent}: a Triton model repository, with"
    for one in models:
        yield f"    {one.folder.name}, version {one.version}{'' if one.is_new else ' (there already)'}"
    if models[0].lacks_plan:
        if engine is not None and engine.plan is not None:
            yield "    Triton can't load a plan of TensorRT-RTX: its place waits for one of TensorRT proper."
        place = models[0].folder / str(models[0].version)
        yield f"    the plan is missing in {place}; {place / 'NEXT.txt'} says how it is built"
    backend = "ONNX Runtime" if engine is None else "TensorRT"
    yield f"    all of it, where Triton has its {backend} backend, and its Python this package:"
    # A version-compatible plan brings code for the CPU, which Triton runs on that word alone.
    trusted = engine is not None and engine.options.version_compatible
    word = " --backend-config=tensorrt,version-compatible=true" if trusted else ""
    yield f"      tritonserver --model-repository={repository}{word}"
    if not isinstance(exported.manifest.model, DetectorFacts):
        yield "    where it has the python backend alone:"
        yield (
            f"      tritonserver --model-repository={repository} --model-control-mode=explicit "
            f"--load-model={models[0].folder.name}_python"
        )
