"""Writes the golden vectors beside this file: `python tests/golden/make_golden.py`. README.md says what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from amfac_edge.declared.recipe import CropRule
from amfac_edge.keypoints import SimccCode, crop_affines, exact_crop, load_opencv, transform_points

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 64, 48

# Each one: its name, the box as two corners, padding, pixel centres or not, rotation in radians.
CASES: tuple[tuple[str, tuple[float, float, float, float], float, bool, float], ...] = (
    ("upright", (41.3, 12.7, 98.9, 101.2), 1.25, True, 0.0),
    ("wide", (20.6, 44.1, 141.7, 83.4), 1.25, True, 0.0),
    ("outside", (-37.4, 61.8, 33.1, 163.9), 1.25, True, 0.0),
    ("enlarged", (40.25, 72.5, 48.4, 80.1), 1.25, True, 0.0),
    ("rotated", (52.2, 18.3, 103.7, 95.5), 1.1, True, 0.6),
    ("corner-anchor", (41.3, 12.7, 98.9, 101.2), 1.25, False, 0.0),
)


def frame() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(120, 160, 3) uint8 BGR: ramps, rings, a checkerboard and a patch of noise; made with integers only."""
    y, x = np.mgrid[:120, :160]
    picture = np.stack([x * 255 // 159, y * 255 // 119, (x + y) * 255 // 278], axis=-1)
    rings = ((x - 70) ** 2 + (y - 55) ** 2) // 350 % 2 == 0
    picture[rings] = 255 - picture[rings]
    checks = (x >= 100) & (y >= 70) & ((x // 6 + y // 6) % 2 == 0)
    picture[checks] = (20, 40, 230)
    picture[75:115, 5:45] = np.random.default_rng(7).integers(0, 256, (40, 40, 3))
    return picture.astype(np.uint8)


def crops() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The cases for the JSON, and their pictures by file name."""
    picture = frame()
    entries, pictures = [], {"frame.png": picture}
    for name, box, padding, pixel_centres, rotation in CASES:
        rule = CropRule(height=HEIGHT, width=WIDTH, padding=padding, pixel_centres=pixel_centres)
        affines = crop_affines(np.array([box]), rule, rotation)
        points = np.array([[[0.0, 0.0], [WIDTH - 1.0, HEIGHT - 1.0], [23.25, 10.75]]])
        pictures[f"crop-{name}.png"] = np.rint(exact_crop(picture, affines[0], HEIGHT, WIDTH)).astype(np.uint8)
        entries.append(
            {
                "name": name,
                "box": list(box),
                "height": HEIGHT,
                "width": WIDTH,
                "padding": padding,
                "pixel_centres": pixel_centres,
                "rotation": rotation,
                "affine": affines[0].tolist(),
                "points_crop": points[0].tolist(),
                "points_frame": transform_points(points, affines)[0].tolist(),
                "crop": f"crop-{name}.png",
            }
        )
    return entries, pictures


def codes() -> list[dict[str, Any]]:
    """One joint's logits and what they decode to, for both conventions of the bins."""
    entries = []
    for bin_centres in (True, False):
        code = SimccCode(width=8, height=6, split_ratio=2.0, bin_centres=bin_centres)
        x, y = (
            np.round(4 * np.cos(np.arange(bins) * 1.1 - peak), 3)
            for bins, peak in zip(code.bins, (5.2, 3.1), strict=True)
        )
        logits = [axis.astype(np.float32)[None, None] for axis in (x, y)]
        keypoints, scores = code.decode(logits[0], logits[1], temperature=1.5)
        entries.append(
            {
                "width": 8,
                "height": 6,
                "split_ratio": 2.0,
                "bin_centres": bin_centres,
                "temperature": 1.5,
                "x_logits": x.tolist(),
                "y_logits": y.tolist(),
                "keypoint": keypoints[0, 0].tolist(),
                "score": round(float(scores[0, 0]), 6),
            }
        )
    return entries


def golden() -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of crop.json, and the pictures by file name."""
    entries, pictures = crops()
    return {"schema": "amfac-golden-crop/1", "frame": "frame.png", "crops": entries, "codes": codes()}, pictures


def main() -> None:
    """Write everything."""
    content, pictures = golden()
    cv2 = load_opencv("writing the golden pictures")
    for name, picture in pictures.items():
        cv2.imwrite(str(HERE / name), picture)
    (HERE / "crop.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
