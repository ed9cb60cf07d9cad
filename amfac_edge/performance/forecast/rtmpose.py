"""Layers of RTMPose-shaped networks, from their public description (arXiv 2303.07399, MMPose's configurations).

RTMPose's published latencies are the only ones of a network of this kind on an Orin; to learn from them, the forecast
needs what those networks cost. No weights and no file of theirs are used: CSPNeXt's stages and the head of a 7x7
convolution, a linear layer, one gated attention unit and two classifiers, with the widths of the named variant.
"""

from __future__ import annotations

from amfac_edge.artefact import LayerCost

__all__ = ["RTMPOSE_VARIANTS", "rtmpose_layers"]

RTMPOSE_VARIANTS = {"t": (0.167, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
"""Variant to (depth, width), the factors of CSPNeXt."""

# Channels in and out, blocks, of CSPNeXt-P5's four stages at depth and width 1.
_STAGES = ((64, 128, 3), (128, 256, 6), (256, 512, 6), (512, 1024, 3))
_JOINTS, _HIDDEN, _SHARED = 17, 256, 128
_EXPANDED = 2 * _HIDDEN


def rtmpose_layers(variant: str, height: int, width: int) -> tuple[LayerCost, ...]:
    """The layers of RTMPose-`variant` on crops of `height` x `width` pixels, at batch 1 in float32."""
    network = _Layers(height, width)
    depth, widen = RTMPOSE_VARIANTS[variant]
    first = int(64 * widen)
    network.convolution(3, first // 2, 3, stride=2)
    network.convolution(first // 2, first // 2, 3)
    network.convolution(first // 2, first, 3)
    for before, after, blocks in _STAGES:
        channels_in, channels = int(before * widen), int(after * widen)
        network.convolution(channels_in, channels, 3, stride=2)
        if after == _STAGES[-1][1]:
            network.pyramid_pooling(channels)
        network.cross_stage(channels, max(round(blocks * depth), 1), shortcut=after != _STAGES[-1][1])
    network.head(int(_STAGES[-1][1] * widen), (2 * width, 2 * height))
    return tuple(network.layers)


class _Layers:
    """Layers of a network that are written down while its tensors' places shrink."""

    def __init__(self, height: int, width: int) -> None:
        self.layers: list[LayerCost] = []
        self._height, self._width = height, width

    @property
    def _places(self) -> int:
        return self._height * self._width

    def convolution(
        self, channels_in: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        read = channels_in * self._places
        self._height, self._width = self._height // stride, self._width // stride
        weights = channels * channels_in // groups * kernel**2
        written = channels * self._places
        self._add("Conv", weights * self._places, read + weights + channels + written)
        if active:
            self._add("Swish", 0, 2 * written)

    def pyramid_pooling(self, channels: int) -> None:
        half = channels // 2
        self.convolution(channels, half, 1)
        for _ in range(3):
            self._add("MaxPool", 0, 2 * half * self._places)
        self._add("Concat", 0, 2 * 4 * half * self._places)
        self.convolution(4 * half, channels, 1)

    def cross_stage(self, channels: int, blocks: int, *, shortcut: bool) -> None:
        half = channels // 2
        self.convolution(channels, half, 1)
        self.convolution(channels, half, 1)
        for _ in range(blocks):
            self.convolution(half, half, 3)
            self.convolution(half, half, 5, groups=half)
            self.convolution(half, half, 1)
            if shortcut:
                self._add("Add", 0, 3 * half * self._places)
        self._add("Concat", 0, 2 * channels * self._places)
        self._add("GlobalAveragePool", 0, channels * self._places + channels)
        self._add("Conv", channels**2, channels**2 + 2 * channels)
        self._add("HardSigmoid", 0, 2 * channels)
        self._add("Mul", 0, 2 * channels * self._places + channels)
        self.convolution(channels, channels, 1)

    def head(self, channels: int, bins: tuple[int, int]) -> None:
        self.convolution(channels, _JOINTS, 7, active=False)
        self._normalised(self._places)
        self._product(_JOINTS, self._places, _HIDDEN)
        self._normalised(_HIDDEN)
        self._product(_JOINTS, _HIDDEN, 2 * _EXPANDED + _SHARED)
        self._add("Swish", 0, 2 * _JOINTS * (2 * _EXPANDED + _SHARED))
        self._add("Split", 0, 2 * _JOINTS * (2 * _EXPANDED + _SHARED))
        self._add("Mul", 0, 4 * _JOINTS * _SHARED)
        self._add("Add", 0, 4 * _JOINTS * _SHARED)
        self._product(_JOINTS, _SHARED, _JOINTS)
        self._add("Relu", 0, 2 * _JOINTS**2)
        self._add("Mul", 0, 2 * _JOINTS**2)
        self._product(_JOINTS, _JOINTS, _EXPANDED)
        self._add("Mul", 0, 3 * _JOINTS * _EXPANDED)
        self._product(_JOINTS, _EXPANDED, _HIDDEN)
        self._add("Add", 0, 3 * _JOINTS * _HIDDEN)
        for count in bins:
            self._product(_JOINTS, _HIDDEN, count)

    def _normalised(self, width: int) -> None:
        """ScaleNorm: a vector's own length, then a quotient and a gain."""
        self._add("ReduceL2", 0, _JOINTS * (width + 1))
        self._add("Div", 0, 2 * _JOINTS * width)
        self._add("Mul", 0, 2 * _JOINTS * width)

    def _product(self, rows: int, inner: int, columns: int) -> None:
        self._add("MatMul", rows * inner * columns, rows * inner + inner * columns + rows * columns)

    def _add(self, op: str, macs: int, values: int) -> None:
        self.layers.append(LayerCost(f"{op.lower()}{len(self.layers)}", op, macs, 4 * values, "float32"))
