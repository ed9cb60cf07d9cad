"""What the driver says of its device 0, through a stand-in of it: there is none here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amfac_edge.compiler.gpu_here import GpuHere, gpu_here

ATTRIBUTES = {16: 8, 75: 8, 76: 7}


def driver(**changes: Any) -> Any:  # noqa: ANN401
    """The five functions; each gives its result by pointer, and an error code."""

    def device_get(device: Any, ordinal: int) -> int:  # noqa: ANN401
        device._obj.value = 3
        return ordinal

    def name_of(name: Any, length: int, device: Any) -> int:  # noqa: ANN401
        assert (length, device.value) == (256, 3)
        name.value = b"Orin"
        return 0

    def attribute_of(value: Any, attribute: int, device: Any) -> int:  # noqa: ANN401
        assert device.value == 3
        value._obj.value = ATTRIBUTES[attribute]
        return 0

    def version_of(version: Any) -> int:  # noqa: ANN401
        version._obj.value = 12060
        return 0

    functions = {
        "cuInit": lambda flags: flags,
        "cuDeviceGet": device_get,
        "cuDeviceGetName": name_of,
        "cuDeviceGetAttribute": attribute_of,
        "cuDriverGetVersion": version_of,
    }
    return SimpleNamespace(**{**functions, **changes})


def test_the_driver_is_asked() -> None:
    assert gpu_here(driver()) == GpuHere(name="Orin", compute_capability="8.7", sm_count=8, cuda="12.6")


def test_a_driver_that_refuses_tells_nothing() -> None:
    assert gpu_here(driver(cuInit=lambda _: 100)) is None
    assert gpu_here(driver(cuDeviceGetAttribute=lambda *_: 1)) is None
    # Something else of that name.
    assert gpu_here(SimpleNamespace()) is None
