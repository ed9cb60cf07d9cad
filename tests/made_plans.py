"""Plans that no library would run, with the heads and manifests of real ones: for all that happens before a load."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT, BatchRange, Manifest, PlanFacts, ProfileRange, TensorSpec, manifest_path
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = load_recipe("amfacpose-r18-256x256")
NAME = "amfac/1 amfacpose-r18-256x256 0123456789abcdef"
# The first 64 bytes of a plan that TensorRT-RTX 1.7.1.116 built for SM86 and SM89; 16 to 23 hold its length, 133,804.
RTX_HEAD = bytes.fromhex("7674727400000000020000000000000000000000000000000107017476747274").ljust(64, b"\0")
CARD_NAMES = {"rtx-3060": "NVIDIA GeForce RTX 3060", "rtx-4090": "NVIDIA GeForce RTX 4090"}
RTX_CAPABILITIES = {1: "7.5", 2: "8.0", 4: "8.6", 8: "8.9", 16: "12.0", 32: "12.1"}


def rtx_plan(mask: int = 12, *, version: tuple[int, ...] = (1, 7, 1, 116), body: bytes = b"\1" * 500) -> bytes:
    """A plan with the head of TensorRT-RTX, whole as far as the head can tell."""
    name = struct.pack("<Q", len(NAME)) + NAME.encode()
    content = bytearray(RTX_HEAD + name + body)
    struct.pack_into("<Q", content, 16, len(content))
    content[24:28] = bytes(version)
    struct.pack_into("<I", content, 32, mask)
    return bytes(content)


def plan(body: bytes = b"\2" * 500) -> bytes:
    """A plan with the magic of TensorRT proper, of which no more is known."""
    return b"ftrt" + bytes(28) + NAME.encode() + body


def facts(target: str, **changes: object) -> PlanFacts:
    """What a build on (or, by TensorRT-RTX, for) `target` would have written."""
    declared = load_target(target)
    assert declared.gpu is not None
    known: dict[str, object] = {
        "flavour": TENSORRT,
        "tensorrt_version": "10.3.0",
        "compute_capabilities": (declared.gpu.compute_capability,),
        "system": "linux",
        "cuda": "12.6",
        "engine_name": NAME,
        "layer_precision": {"convolution": "float16", "last_linear": "float32"},
        "profile": {"crops": ProfileRange((1, 256, 256, 3), (4, 256, 256, 3), (4, 256, 256, 3))},
        "settings": {"workspace_mib": 512, "strongly_typed": True},
    }
    if declared.kind == "jetson":
        known |= {"gpu_name": "Orin", "sm_count": declared.gpu.sms, "architecture": "aarch64", "l4t": "36.4.7"}
        known |= {"power_mode": "MAXN", "clocks_mhz": {"gpu": 918.0}}
    else:
        known |= {"gpu_name": CARD_NAMES[target], "sm_count": declared.gpu.sms, "architecture": "x86_64"}
        known |= {"driver": "560.35.03"}
    return PlanFacts(**(known | changes))  # type: ignore[arg-type]


def rtx_facts(*capabilities: str) -> PlanFacts:
    """What a build by TensorRT-RTX on a machine without a GPU would have written."""
    return PlanFacts(
        flavour=RTX,
        tensorrt_version="1.7.1.116",
        compute_capabilities=capabilities or ("8.6", "8.9"),
        system="linux",
        architecture="x86_64",
        engine_name=NAME,
    )


def manifest(target: str, described: PlanFacts | None, content: bytes) -> Manifest:
    """The manifest of a plan with these bytes."""
    return Manifest(
        target=target,
        precision="fp16",
        input_kind="crops",
        batch=BatchRange(1, 4, 4),
        model=RECIPE,
        inputs=(TensorSpec("crops", "uint8", ("N", 256, 256, 3)),),
        outputs=(TensorSpec("keypoints", "float32", ("N", 17, 2)), TensorSpec("scores", "float32", ("N", 17))),
        digests={"checkpoint": "a" * 64, "onnx": "b" * 64, "timing_cache": "c" * 64, "artefact": sha256_of(content)},
        versions={"amfac-edge": "0.1.0"},
        plan=described,
    )


def write(path: Path, target: str, described: PlanFacts | None, content: bytes) -> Path:
    """Write a plan and its manifest."""
    path.write_bytes(content)
    manifest_path(path).write_bytes(manifest(target, described, content).as_bytes())
    return path
