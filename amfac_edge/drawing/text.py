"""Words on pictures, in a size that can be read at the size of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from amfac_edge.keypoints import Bgr

__all__ = ["Pen", "draw_note"]

_SMALLEST_LINE = 9
_INK = (255, 255, 255)


def draw_note(image: Bgr, note: str) -> Bgr:
    """A copy of the picture with a dark strip along the bottom and the note on it, broken into lines at spaces.

    Args:
        image: (H, W, 3) uint8 BGR.
        note: the words; ASCII, since OpenCV 4 writes nothing else. A word wider than the picture is cut off.

    Returns:
        (H, W, 3) uint8 BGR, a new array.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = load_opencv("drawing")
    height, width = image.shape[:2]
    # About 1/24 of the shorter side, and no more than a line of forty characters needs.
    line = max(_SMALLEST_LINE, round(min(height / 24, width / 22)))
    pen = Pen(cv2, line)
    margin = line // 2
    lines = pen.broken(note, width - 2 * margin)
    canvas = image.copy()
    strip = canvas[max(0, height - margin - round(len(lines) * line * 1.5)) :]
    strip //= 4
    for index, words in enumerate(lines):
        pen.write(strip, words, margin, round((index + 1) * line * 1.5 - line * 0.25))
    return canvas


class Pen:
    """One size of OpenCV's font.

    Attributes:
        line: height of a capital letter and its air, in pixels.
    """

    def __init__(self, cv2: Any, line: int) -> None:  # noqa: ANN401 - the lazy module
        self._cv2 = cv2
        self._font = cv2.FONT_HERSHEY_SIMPLEX
        self._thickness = max(1, round(line / 14))
        (_, unscaled), _ = cv2.getTextSize("A", self._font, 1.0, 1)
        self._scale = line * 0.75 / unscaled
        self.line = line

    def width(self, words: str) -> int:
        """Of the words, in pixels."""
        (width, _), _ = self._cv2.getTextSize(words, self._font, self._scale, self._thickness)
        return int(width)

    def broken(self, text: str, width: int) -> list[str]:
        """The text in lines of at most `width` pixels, wherever a single word allows it."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def shortened(self, text: str, width: int) -> str:
        """The text on one line of at most `width` pixels; what was cut off is shown by two dots."""
        if self.width(text) <= width:
            return text
        while text and self.width(text + "..") > width:
            text = text[:-1]
        return text + ".."

    def write(self, canvas: Bgr, words: str, x: int, y: int) -> None:
        """Write onto `canvas` with the base line at (x, y)."""
        self._cv2.putText(canvas, words, (x, y), self._font, self._scale, _INK, self._thickness, self._cv2.LINE_AA)
