"""OpenCV, loaded when the first picture needs it: an app that only reads recipes or results never pays for it."""

from __future__ import annotations

from typing import Any

from amfac_edge.errors import MachineError, MissingExtraError

__all__ = ["load_opencv"]


def load_opencv(use: str) -> Any:  # noqa: ANN401 - OpenCV's stubs differ between releases; untyped here, typed at our functions
    """The module `cv2`; any release from 4.5 on.

    Args:
        use: what needs it, as the subject of a sentence ("cutting crops").

    Raises:
        MissingExtraError: it is not installed.
        MachineError: it is installed and can't be loaded, for want of a system library most often.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("opencv-python", "cpu", use=use) from error
    except ImportError as error:
        raise MachineError(
            f"{use} needs OpenCV, which is installed and can't be loaded: {error}",
            cure="Install the library that it names, or put opencv-python-headless in the place of opencv-python.",
        ) from error
    return cv2
