"""The addresses of cameras, and what of them may be shown.

    csi://0?width=1280&height=720&fps=60            a camera on a Jetson's ribbon connector, by its number
    v4l2:///dev/video0?width=1280&height=720&fps=30 a USB camera or a capture card
    rtsp://user:password@host/path                  a network camera (rtsps:// too)
    gst:videotestsrc is-live=true ! ...             a GStreamer pipeline; what is missing at its end is added

Further parameters: `format` (mjpeg, yuyv) of v4l2, `flip` (0 to 7, as nvvidconv counts) of csi, `transport` (tcp, udp)
and `codec` (h264, h265) of rtsp. Other parameters of an rtsp address belong to the camera and reach it as they are; one
that has a name of ours reaches it as `camera.fps=15`.

A password may stand in an address. It reaches the library that connects, and nothing else: `CameraAddress.name` is
what is shown, and `CameraAddress.cleaned` takes it out of what a library says. It ends at the last "@"; signs in it
that part an address (/ ? # @) are encoded for the library, which would take what stands before them for a host, and
look it up. Signs that are encoded already stay as they are.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from amfac_edge.errors import FrameError, near_names

__all__ = ["CameraAddress", "camera_address", "shown_source"]

_SCHEMES = ("csi", "v4l2", "rtsp", "rtsps", "gst")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_CHOICES = {
    "format": ("mjpeg", "yuyv"),
    "flip": tuple("01234567"),
    "transport": ("tcp", "udp"),
    "codec": ("h264", "h265"),
}
_SIZES = ("width", "height", "fps")
_OPTIONS = {
    "csi": (*_SIZES, "flip"),
    "v4l2": (*_SIZES, "format"),
    "rtsp": (*_SIZES, "transport", "codec"),
}
_PASSED_ON = "camera."
# Before an "@": what looks like host, path and parameter, or like a path behind an IP address, and may be a user and a
# password with strange signs.
_UNCLEAR = re.compile(r"[^:/?#@]*(:\d{1,5})?[/?].*=|(\[[^\]]*\]|\d+(\.\d+){3})(:\d{1,5})?[/?]")
_CHANNEL = re.compile(r"channel=\d{1,3}(?!\d)")
# As some cameras want them: /user=admin&password=secret&channel=1, or all that with "_" in the place of "&".
_IN_A_PATH = re.compile(r"(?:user|password|passwd|pwd|pass)=([^&;/?#=\s]+?)(?=_\w+=|[&;/?#\s]|$)", re.IGNORECASE)
_LARGEST_SIDE, _MOST_FPS = 16_384, 1_000.0
_CURE = "Cameras are csi://0, v4l2:///dev/video0, rtsp://host/path or gst:PIPELINE; files and folders are paths."


@dataclass(frozen=True)
class CameraAddress:
    """Where a camera is, and what is asked of it.

    Attributes:
        kind: "csi", "v4l2", "rtsp" or "gst".
        place: the number, the device, the address with its password, or the pipeline.
        name: what may be shown: without user, password and parameters, also those that some cameras want in the path
            (`/user=admin&password=...`); of a pipeline its first element.
        width: of the frames, in pixels; None for the camera's own.
        height: of the frames, in pixels; None for the camera's own.
        fps: frames a second; None for the camera's own.
        options: the other parameters, by name.
    """

    kind: str
    place: str = field(repr=False)
    name: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    options: dict[str, str] = field(default_factory=dict, hash=False)

    def cleaned(self, text: str) -> str:
        """`text` without the address's user, password and parameters."""
        for secret in sorted(_secrets(self.place), key=len, reverse=True):
            # A user "u" is in many words.
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
        has_credentials = self.kind == "gst" or _credentials(self.place.partition("://")[2])[0]
        return re.sub(r"(\w+://)\S*@", r"\1", text) if has_credentials else text


def camera_address(source: str) -> CameraAddress | None:
    """The camera that `source` names; None where it is the path of a file or folder.

    Raises:
        FrameError: an address of no known kind, or a parameter that this kind doesn't have or can't take.
    """
    if re.fullmatch(r"/dev/video\d+", source):
        return CameraAddress("v4l2", source, source)
    found = _SCHEME.match(source)
    if found is None or (found[1] != "gst" and not found[2]):
        return None
    scheme, rest = found[1].lower(), source[found.end() :]
    if scheme not in _SCHEMES:
        raise FrameError(f'{shown_source(source)}: "{scheme}" is no kind of source', cure=_CURE)
    if scheme == "gst":
        return _pipeline(source[len("gst:") :].strip())
    kind = "rtsp" if scheme == "rtsps" else scheme
    place, _, query = _parted(rest, kind)
    name = shown_source(source)
    if not place:
        raise FrameError(f"{name}: names no camera", cure=_CURE)
    given, kept = _parameters(query, kind, name)
    if kind == "csi" and not (place.isascii() and place.isdecimal()):
        raise FrameError(f'{name}: "{place}" is no number of a camera', cure="Give csi://0 or csi://1.")
    if kind == "v4l2" and not place.startswith("/dev/"):
        raise FrameError(f'{name}: "{place}" is no device', cure="Give v4l2:///dev/video0, with three strokes.")
    if kind == "rtsp":
        place = f"{scheme}://{_with_encoded_password(place, name)}" + (f"?{kept}" if kept else "")
    options = {key: value for key, value in given.items() if key not in _SIZES}
    return CameraAddress(
        kind, place, name, _side(given, "width", name), _side(given, "height", name), _fps(given, name), options
    )


def shown_source(source: str) -> str:
    """`source` as it may be shown: an address without user, password and parameters, a path as it is."""
    found = _SCHEME.match(source)
    if found is None or (found[1] != "gst" and not found[2]):
        return source
    if found[1] == "gst":
        # A pipeline may hold an address or a password anywhere.
        element = re.match(r"[\w-]+", source[len("gst:") :].strip())
        return f"gst:{element[0] if element else ''}"
    # A password may hold "/" or "?" though it should be written as %2F or %3F.
    credentials, host = _credentials(source[found.end() :])
    if _UNCLEAR.match(credentials):
        return f"{found[1].lower()}://…"
    first, *path = host.partition("?")[0].split("/")
    shown = [first, *itertools.takewhile(lambda segment: "=" not in segment, path)]
    if len(shown) <= len(path) and (channel := _CHANNEL.search(path[len(shown) - 1])):
        shown.append(channel[0])  # of several cameras of one recorder
    return f"{found[1].lower()}://{'/'.join(shown)}"


def _pipeline(pipeline: str) -> CameraAddress:
    if not pipeline:
        raise FrameError("gst: no pipeline follows", cure="Give gst:videotestsrc is-live=true, for example.")
    return CameraAddress("gst", pipeline, shown_source("gst:" + pipeline))


def _parted(rest: str, kind: str) -> tuple[str, str, str]:
    """The place and its parameters; a "?" in a password parts nothing."""
    if kind != "rtsp":
        return rest.partition("?")
    credentials, host = _credentials(rest)
    place, mark, query = host.partition("?")
    return f"{credentials}@{place}" if credentials else place, mark, query


def _credentials(rest: str) -> tuple[str, str]:
    """User and password, "" where there are none, and what follows them."""
    credentials, _, host = rest.rpartition("@")
    if re.search(r"[/?#]", credentials) and ":" not in credentials:
        # Nobody's password: an "@" in the path, or in a parameter.
        return "", rest
    return credentials, host


def _with_encoded_password(place: str, name: str) -> str:
    """`place` with user and password as an address may hold them."""
    credentials, host = _credentials(place)
    if not credentials:
        return place
    parts = re.split(r"[/?#]", credentials, maxsplit=1)
    if (len(parts) > 1 and "@" in parts[0]) or _UNCLEAR.match(credentials):
        raise FrameError(
            f'{name}: which "@" ends the password can\'t be told',
            cure='Write an "@" of password or path as %40, and "/", "?" and "#" of the password as %2F, %3F and %23.',
        )
    return ":".join(_encoded(part) for part in credentials.split(":", 1)) + "@" + host


def _encoded(part: str) -> str:
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", part), safe="%!$&'()*+,;=:")


def _parameters(query: str, kind: str, name: str) -> tuple[dict[str, str], str]:
    """Ours by name, and the camera's own as one text."""
    given, kept = {}, []
    for part in filter(None, query.split("&")):
        ((key, value),) = parse_qsl(part, keep_blank_values=True) or [("", "")]
        if key in _OPTIONS[kind]:
            given[key] = value
        elif kind == "rtsp":
            kept.append(part.removeprefix(_PASSED_ON))
        else:
            raise FrameError(f"{name}: {key} is no parameter; {near_names(key, _OPTIONS[kind])}", cure=_CURE)
    for key, value in given.items():
        if key in _CHOICES and value not in _CHOICES[key]:
            raise FrameError(f'{name}: {key}: "{value}"', cure=f"Give one of {', '.join(_CHOICES[key])}.")
    return given, "&".join(kept)


def _side(given: dict[str, str], key: str, name: str) -> int | None:
    text = given.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= _LARGEST_SIDE):
        raise FrameError(f'{name}: {key}: "{text}"', cure=f"Give pixels, 1 to {_LARGEST_SIDE:,}.")
    return int(text)


def _fps(given: dict[str, str], name: str) -> float | None:
    text = given.get("fps")
    if text is None:
        return None
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 < fps <= _MOST_FPS:
        raise FrameError(f'{name}: fps: "{text}"', cure="Give frames a second, above 0.")
    return fps


def _secrets(place: str) -> set[str]:
    """User, password and parameters of an address, as written and as meant."""
    credentials, host = _credentials(place.partition("://")[2])
    values = [value for _, value in parse_qsl(host.partition("?")[2])]
    values += [segment for segment in host.partition("?")[0].split("/")[1:] if "=" in segment]
    values += re.findall(r"user-(?:id|pw)=(\S+)", place) + _IN_A_PATH.findall(host)
    found = {part for part in (credentials, *credentials.split(":", 1), *values) if part}
    meant = {unquote(part) for part in found}
    return found | meant | {quote(part, safe="") for part in meant}
