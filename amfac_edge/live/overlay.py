"""Frames with the poses drawn on them, saved as the kind of thing that the source is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.cameras import PICTURE_SUFFIXES
from amfac_edge.drawing import VideoFile, write_picture
from amfac_edge.errors import OutputError
from amfac_edge.files import writable_folder
from amfac_edge.live.pace import Pace
from amfac_edge.live.painting import Painter
from amfac_edge.live.recording import CameraVideo

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from amfac_edge.cameras import Frame, FrameSource
    from amfac_edge.keypoints import Bgr, Skeleton
    from amfac_edge.live.loop import PosedFrame

__all__ = ["Overlay"]

_VIDEO_SUFFIXES = (".avi", ".mp4")
# Of a video that does not say how fast it is.
_USUAL_FPS = 25.0


class Overlay:
    """Draws each frame's poses and saves it: a video to a video, a folder to a folder, a picture to either.

    Pictures are there as soon as they are drawn. A video ends playable with the frames so far when its `with` block
    ends well or by Ctrl-C; an error leaves the old file.

    Who is followed through a video has their id at the box.

    Args:
        path: .mp4 or .avi for a video; a folder for a folder, whose pictures keep their names; for one picture a file
            or a folder.
        source: of the frames.
        folder: whether the source is a folder.
        skeleton: of the joints.
        min_score: the lowest joint score that is drawn.
        note: written on every frame where it is not empty.
        figures: whether the run's figures are written too.

    Raises:
        OutputError: `path` does not fit the source, or can't be written to.
    """

    keeps_parts = True

    def __init__(
        self,
        path: Path,
        source: FrameSource,
        *,
        folder: bool,
        skeleton: Skeleton,
        min_score: float,
        note: str,
        figures: bool = False,
    ) -> None:
        self.path = path
        self.count = 0
        """How many frames were saved so far."""
        self.nouns = ("frame", "frames") if source.video else ("picture", "pictures")
        self._source = source
        self._painter = Painter(skeleton, min_score, note, ids=source.video)
        self._pace = Pace() if figures else None
        self._video: VideoFile | CameraVideo | None = None
        self._in_folder = self._fits(folder=folder)
        writable_folder(path if self._in_folder else path.parent)

    def add(self, posed: PosedFrame) -> None:
        """Draw a frame and save it."""
        if self._pace:
            self._pace.add(posed)
        picture = self._painter(posed, self._pace.sentence() if self._pace else "")
        if not self._source.video:
            write_picture(self.path / posed.frame.name if self._in_folder else self.path, picture)
        else:
            self._add_to_video(posed.frame, picture)
        self.count += 1

    def _add_to_video(self, frame: Frame, picture: Bgr) -> None:
        if self._video is None:
            height, width = picture.shape[:2]
            video = CameraVideo if self._source.live else VideoFile
            self._video = video(self.path, self._source.fps or _USUAL_FPS, (height, width)).__enter__()
        if isinstance(self._video, CameraVideo):
            self._video.write(frame, picture)
        else:
            self._video.write(picture)

    def __enter__(self) -> Overlay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._video is not None:
            self._video.__exit__(kind, error, trace)

    def _fits(self, *, folder: bool) -> bool:
        """Whether frames are saved into `path` as a folder; an error where it can be neither that nor their file."""
        suffix = self.path.suffix.lower()
        if self._source.video:
            if suffix not in _VIDEO_SUFFIXES or self.path.is_dir():
                raise OutputError(
                    f"{self.path}: a video is saved as a video", cure="Give --save a name in .mp4 or .avi."
                )
            return False
        if suffix and not folder and not self.path.is_dir() and suffix not in {*PICTURE_SUFFIXES, *_VIDEO_SUFFIXES}:
            raise OutputError(
                f"{self.path}: {suffix} is no kind of picture that is written",
                cure="Give --save a name in .jpg or .png, or a folder.",
            )
        if self.path.is_dir() or suffix not in {*PICTURE_SUFFIXES, *_VIDEO_SUFFIXES}:
            return True
        if folder:
            raise OutputError(f"{self.path}: a folder of pictures is saved as a folder", cure="Give --save a folder.")
        if suffix in _VIDEO_SUFFIXES:
            raise OutputError(
                f"{self.path}: a picture is saved as a picture", cure="Give --save a name in .jpg or .png."
            )
        return False
