"""The options of `amfac-export --precision int8`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import INT8
from amfac_edge.cli.export_auto import AUTO
from amfac_edge.cli.given_words import given_words
from amfac_edge.declared.calibration_set import load_calibration_set
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from amfac_edge.pipeline.quantizing import Int8Request

__all__ = ["add_int8_options", "channel_order_line", "int8_lines", "int8_request"]

_METHODS = ("percentile", "minmax", "entropy")


def add_int8_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that `int8_request` reads."""
    add = parser.add_argument_group("--precision int8").add_argument
    add("--calib", metavar="SET", help="name or TOML of the people that ranges come from, and that judge the result")
    add("--calib-data", type=Path, metavar="DIR", help="folder that the set's paths are relative to (the TOML's own)")
    add("--no-calib-cache", action="store_true", help="take the ranges anew, and keep them for nobody")
    add(
        "--calib-method", choices=_METHODS, default=_METHODS[0], help="how a range is taken (default: percentile 99.99)"
    )
    add("--max-ap-drop", type=float, default=0.5, metavar="X", help="points of AP that INT8 may cost (default: 0.5)")
    add("--max-shift-px", type=float, metavar="PX", help="mean shift of joints that it may cost (longer side / 200)")
    add("--keep", action="append", default=[], metavar="NODE", help="a node that stays out of INT8; may be repeated")


def int8_request(arguments: argparse.Namespace, *, is_detector: bool) -> Int8Request | None:
    """What INT8 is made from; None where another precision was asked for.

    Raises:
        InputError: a detector, or options of INT8 without it, or without a set.
        DeclaredError: no such set, or a faulty one.
    """
    words = " ".join(given_words(add_int8_options, arguments))
    if words and arguments.precision not in {INT8, AUTO}:
        raise InputError(
            f"{words} is for INT8, and --precision is {arguments.precision or 'not given'}",
            cure="Give --precision int8 or auto as well, or leave it out.",
        )
    if words and arguments.calib is None:
        raise InputError(f"{words}: no set was named to calibrate with", cure="Give --calib SET.")
    if is_detector and (arguments.precision == INT8 or arguments.calib is not None):
        raise InputError(
            f"{arguments.input}: this version writes detectors in FP32 and FP16",
            cure="Leave --precision int8 and --calib out.",
        )
    if arguments.calib is None:
        return None
    from amfac_edge.pipeline.quantizing import Int8Request  # noqa: PLC0415 - loads torch

    return Int8Request(
        load_calibration_set(arguments.calib, data=arguments.calib_data),
        arguments.calib_method,
        arguments.max_ap_drop,
        arguments.max_shift_px,
        tuple(arguments.keep),
        use_cache=not arguments.no_calib_cache,
    )


def int8_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What INT8's gate found, for people."""
    full, made, budget = (evidence[key] for key in ("fp32", "int8", "budget"))
    mean, _, most = made["shift_px_mean_p50_p99"]
    held_out = f"on {evidence['calibration']['held_out']} held-out people"
    if full["ap"] is None:
        yield f"  INT8, judged by shift alone {held_out}: nobody of the set is labelled"
    else:
        low, high = made["ap_loss_interval_95"]
        half = f" (FP16 {evidence['fp16']['ap']:.1f})" if "fp16" in evidence else ""
        yield (
            f"  INT8: AP {full['ap']:.1f} -> {made['ap']:.1f}{half} {held_out} (at most {budget['ap']:g} points less; "
            f"by chance of the people the loss is {low:.1f} to {high:.1f})"
        )
    if evidence["calibration"]["channel_order"] is not None:
        yield channel_order_line(evidence["calibration"]["channel_order"])
    yield f"  joints move by {mean:.2f} px in the mean (at most {budget['shift_px']:.2f}), p99 {most:.1f}"
    back = len(evidence["given_back"])
    yield (
        f"  {evidence['mac_share']:.0%} of the multiply-accumulates in INT8, {len(evidence['nodes'])} nodes; "
        f"{back} given back"
    )


def channel_order_line(order: Mapping[str, Any]) -> str:
    """What the network made of the calibrating crops with red and blue exchanged, for people."""
    told = "are in their places" if order["told"] else "are all the same to this network"
    given, exchanged = order["scores"]
    return (
        f"  red and blue {told}: mean score {given:.3g} on {order['crops']} crops that calibrate, {exchanged:.3g} with "
        "them exchanged"
    )
