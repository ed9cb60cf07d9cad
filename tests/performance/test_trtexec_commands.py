"""The same measurement by trtexec, for two generations with opposite defaults."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from amfac_edge.artefact import RTX, BatchRange, Manifest, PlanFacts
from amfac_edge.cli import bench_run
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.performance.timing import Limits
from amfac_edge.performance.trtexec_commands import trtexec_commands

MANIFEST = Manifest(
    target="orin-nano-8",
    precision="fp16",
    input_kind="crops",
    batch=BatchRange(1, 4, 4),
    model=load_recipe("amfacpose-r18-256x256"),
    inputs=(),
    outputs=(),
)


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("spinning", [True, False])
def test_each_switch_is_set_in_both_generations(graphs: bool, spinning: bool) -> None:  # noqa: FBT001 - a test's cases
    old, new = trtexec_commands(
        Path("m.plan"), MANIFEST, people=1, graphs=graphs, spinning=spinning, limits=Limits()
    ).values()
    # 8 to 10: transfers on, blocking, no graph. 11: transfers off, spinning, graph.
    assert ("--useCudaGraph" in old, "--noCudaGraph" in new) == (graphs, not graphs)
    assert ("--useSpinWait" in old, "--noSpinWait" in new) == (spinning, not spinning)
    assert ("DataTransfers" in old, "--includeDataTransfers" in new) == (False, True)
    for command in (old, new):
        assert command.startswith("trtexec --loadEngine=m.plan --warmUp=200 --exposeDMA --duration=3 --iterations=10")
        assert "--shapes=crops:1x256x256x3" in command


def test_a_crowd_is_timed_in_the_largest_batch_and_a_path_is_quoted() -> None:
    old, _ = trtexec_commands(
        Path("my plan"), MANIFEST, people=9, graphs=True, spinning=False, limits=Limits(iterations=70)
    ).values()
    assert "'--loadEngine=my plan'" in old
    assert "--shapes=crops:4x256x256x3" in old
    assert "--iterations=70 --duration=0" in old
    fixed = dataclasses.replace(MANIFEST, batch=BatchRange(1, 1, 1))
    commands = trtexec_commands(Path("m.plan"), fixed, people=1, graphs=True, spinning=False, limits=Limits())
    assert not any("--shapes" in command for command in commands.values())


def test_a_version_compatible_plan_is_let_in() -> None:
    built = PlanFacts("tensorrt", "10.3.0", ("8.7",))
    for host_code in (False, True):
        described = dataclasses.replace(MANIFEST, plan=dataclasses.replace(built, host_code=host_code))
        commands = trtexec_commands(
            Path("m.plan"), described, people=1, graphs=True, spinning=False, limits=Limits()
        ).values()
        assert [" --versionCompatible " in command for command in commands] == [host_code, host_code]


def test_a_plan_that_trtexec_does_not_load_has_none() -> None:
    measured = SimpleNamespace(manifest=SimpleNamespace(plan=SimpleNamespace(flavour=RTX)))
    found = bench_run._trtexec_lines(Path("m.rtx.plan"), measured, argparse.Namespace(), Limits(), 1)  # type: ignore[arg-type]
    assert found == []
