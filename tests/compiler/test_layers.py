"""What TensorRT's inspector says of a plan's layers, in the words of several releases, becomes one summary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.compiler.layers import layer_precision, silent_float32


def layer(kind: str, **facts: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"Name": "a layer", "LayerType": kind, **facts}


@pytest.mark.parametrize(
    ("described", "summary"),
    [
        (layer("CaskConvolution", ParameterType="Convolution", Weights={"Type": "Half"}), {"convolution": "float16"}),
        (layer("caskConvolutionV2", Weights={"Type": "Float", "Count": 9}), {"convolution": "float32"}),
        # The weights' type is that of the kernel; an input may come in another one.
        (
            layer("CaskConvolution", Weights={"Type": "Int8"}, Inputs=[{"Format/Datatype": "Float"}]),
            {"convolution": "int8"},
        ),
        (
            layer("MatrixMultiply", Inputs=[{"Format/Datatype": "Row major linear FP16 format"}]),
            {"matrix_multiply": "float16"},
        ),
        (layer("gemm", Inputs=[{"DataType": "Float", "Name": "half of it"}]), {"matrix_multiply": "float32"}),
        (layer("kgen", Inputs=[{"Format/Datatype": "BFloat16"}]), {"fused": "bfloat16"}),
        (layer("CaskDeconvolutionV2", Weights={"Type": "Half"}), {"deconvolution": "float16"}),
        (layer("Reformat", Inputs=[{"Format/Datatype": "Half"}]), {}),
        (layer("CaskConvolution", Inputs=[{"Format/Datatype": "Thirty-two wide"}]), {}),
    ],
)
def test_one_layer(described: dict[str, Any], summary: dict[str, str]) -> None:
    assert layer_precision({"Layers": [described]}) == summary


def test_layers_of_two_types_are_counted() -> None:
    half, full = (layer("CaskConvolution", Weights={"Type": kind}) for kind in ("Half", "Float"))
    assert layer_precision({"Layers": [full, half, half]}) == {"convolution": "float16 (2), float32 (1)"}


@pytest.mark.parametrize("information", [None, [], {}, {"Layers": ["a name"]}, {"Layers": {}}, {"Layers": [{}]}])
def test_what_tells_nothing(information: object) -> None:
    assert layer_precision(information) == {}


@given(st.dictionaries(st.sampled_from(["LayerType", "ParameterType", "Weights", "Inputs"]), st.from_type(object)))
def test_any_layer_is_survived(described: dict[str, object]) -> None:
    layer_precision({"Layers": [described]})


@pytest.mark.parametrize(
    ("precision", "asked_half", "loud"),
    [
        ({"convolution": "float32"}, True, True),
        ({"matrix_multiply": "float32"}, True, True),
        ({"convolution": "float16 (90), float32 (1)", "matrix_multiply": "float32"}, True, False),
        ({"convolution": "int8 (9), float32 (80)"}, True, False),
        ({"convolution": "float32"}, False, False),
        ({"fused": "float32"}, True, False),
        ({}, True, False),
    ],
)
def test_half_precision_that_is_none_is_loud(precision: dict[str, str], *, asked_half: bool, loud: bool) -> None:
    said = silent_float32(precision, asked_half=asked_half)
    assert (said is not None) == loud
    assert said is None or said.startswith("WARNING: ")
