"""What the manifest of a TensorRT plan says beyond that of an ONNX: what built it, for which GPU, from which files.

A plan loads only where its library, its GPU and its system are the right ones, and says little of that itself; so its
manifest does, under the key "plan". A fact that nobody could read while building is None or empty, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amfac_edge.declared.reading import Table

__all__ = ["DIGEST_CHAIN", "FLAVOURS", "RTX", "TENSORRT", "PlanFacts", "ProfileRange", "read_plan_facts"]

TENSORRT, RTX = "tensorrt", "tensorrt-rtx"
FLAVOURS = (TENSORRT, RTX)
# The manifest's `digests`, from what the model was to what runs; a link that a build didn't have is absent.
DIGEST_CHAIN = ("checkpoint", "source", "onnx", "calibration", "timing_cache", "artefact")


@dataclass(frozen=True)
class ProfileRange:
    """The shapes that an optimisation profile allows one input: smallest, tuned for, largest."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True)
class PlanFacts:
    """What built a plan, and what it needs.

    Attributes:
        flavour: "tensorrt" (proper) or "tensorrt-rtx".
        tensorrt_version: as the library gives it ("10.3.0", "1.7.1.116").
        compute_capabilities: of the GPUs that it has code for ("8.7"); one, except in a TensorRT-RTX plan.
        gpu_name: of the GPU that it was built on, as CUDA gives it; None where it was built without one.
        sm_count: streaming multiprocessors of that GPU, as its power mode left them.
        cuda: newest CUDA that the driver serves ("12.6").
        driver: version of the driver.
        l4t: release of Jetson Linux.
        system: "linux".
        architecture: "x86_64" or "aarch64".
        power_mode: nvpmodel's mode by name.
        clocks_mhz: clocks at the build by name ("gpu", "gpu_max", of a card "memory"): tactics are chosen by timing.
        host_code: it carries code for the CPU (version-compatible plans hold a lean runtime), which loading would run.
        hardware_compatibility: TensorRT's level, in lower case ("none", "ampere_plus", "same_compute_capability").
        layer_precision: element type by kind of layer ("convolution": "float16").
        profile: shapes by input; empty for a fixed batch.
        engine_name: what the plan itself gives as its name.
        settings: of the builder, as JSON (workspace_mib, optimization_level, strongly_typed, ...).
        extra: keys of the same schema major that this version doesn't know.
    """

    flavour: str
    tensorrt_version: str
    compute_capabilities: tuple[str, ...]
    gpu_name: str | None = None
    sm_count: int | None = None
    cuda: str | None = None
    driver: str | None = None
    l4t: str | None = None
    system: str | None = None
    architecture: str | None = None
    power_mode: str | None = None
    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    host_code: bool = False
    hardware_compatibility: str = "none"
    layer_precision: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, ProfileRange] = field(default_factory=dict)
    engine_name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "flavour": self.flavour,
            "tensorrt_version": self.tensorrt_version,
            "compute_capabilities": list(self.compute_capabilities),
            **{key: getattr(self, key) for key in (*_TEXTS, "sm_count")},
            "clocks_mhz": dict(self.clocks_mhz),
            "host_code": self.host_code,
            "hardware_compatibility": self.hardware_compatibility,
            "layer_precision": dict(self.layer_precision),
            "profile": {
                name: {"min": list(shapes.minimum), "opt": list(shapes.optimum), "max": list(shapes.maximum)}
                for name, shapes in self.profile.items()
            },
            "settings": dict(self.settings),
            **self.extra,
        }


_TEXTS = ("gpu_name", "cuda", "driver", "l4t", "system", "architecture", "power_mode", "engine_name")


def read_plan_facts(table: Table) -> PlanFacts:
    """Read the manifest's "plan"; faults are the table's to collect."""
    settings = table.raw("settings")
    clocks, precision, profile = (
        table.table(key, required=False) for key in ("clocks_mhz", "layer_precision", "profile")
    )
    return PlanFacts(
        flavour=table.text("flavour", choices=FLAVOURS),
        tensorrt_version=table.text("tensorrt_version"),
        compute_capabilities=table.texts("compute_capabilities"),
        **{key: table.text(key) for key in _TEXTS if table.raw(key) is not None},
        sm_count=table.integer("sm_count", minimum=1) if table.raw("sm_count") is not None else None,
        clocks_mhz={key: clocks.number(key, minimum=0) for key in clocks.keys()},  # noqa: SIM118 - a Table is no mapping
        host_code=table.flag("host_code", default=False),
        hardware_compatibility=table.text("hardware_compatibility", default="none"),
        layer_precision={key: precision.text(key) for key in precision.keys()},  # noqa: SIM118 - as above
        profile={key: _range(profile.table(key)) for key in profile.keys()},  # noqa: SIM118 - as above
        settings=settings if isinstance(settings, dict) else {},
        extra=table.rest(),
    )


def _range(table: Table) -> ProfileRange:
    return ProfileRange(table.integers("min"), table.integers("opt"), table.integers("max"))
