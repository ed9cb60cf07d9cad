"""How a plan, or an .onnx on an NVIDIA card, is run: the same options of every command that runs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.sessions import CUDA_LIBRARIES, PROVIDERS, WAITS, GpuOptions

if TYPE_CHECKING:
    import argparse

__all__ = ["add_gpu_options", "gpu_options"]


def add_gpu_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    parser.add_argument("--provider", choices=PROVIDERS, help="of an .onnx: ONNX Runtime on the CPU or an NVIDIA card")
    parser.add_argument("--cuda", choices=CUDA_LIBRARIES, help="of a .plan: the library (default: what is installed)")
    parser.add_argument(
        "--wait",
        choices=WAITS,
        default="block",
        help="of a .plan: spin keeps a core busy while the GPU computes, and saves microseconds",
    )
    parser.add_argument(
        "--allow-host-code",
        action="store_true",
        help="of a .plan: run the code for the CPU that a version-compatible one brings; you trust who made it",
    )


def gpu_options(arguments: argparse.Namespace) -> GpuOptions:
    """What was given, as `open_session` takes it."""
    return GpuOptions(
        provider=arguments.provider or "cpu",
        cuda=arguments.cuda,
        wait=arguments.wait,
        host_code=arguments.allow_host_code,
    )
