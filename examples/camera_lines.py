"""A camera app for a machine without a screen: a line of JSON for each frame, on standard output or to an MQTT broker.

    python examples/camera_lines.py model.onnx rtsp://door/stream --detector detector.onnx
    python examples/camera_lines.py model.onnx csi://0 --mqtt broker.local:1883 --topic hall/poses

MQTT needs `pip install "amfac-edge[mqtt]"`; user and password come from MQTT_USER and MQTT_PASSWORD, and --tls
encrypts. Lines are sent at most once: while the broker is away they are dropped, so that none comes late.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from amfac_edge import PoseEstimator
from amfac_edge.cameras import FullFrame, open_source
from amfac_edge.errors import AmfacError, MissingExtraError
from amfac_edge.live import DetectedPeople, PosedFrame, PoseLines, pose_line, posed_frames
from amfac_edge.people import PeopleFollower, Smoothing, open_detector


def tell(text: str) -> None:
    """Say that a camera is lost, or back, and what ended the app."""
    print(text, file=sys.stderr, flush=True)


def broker(text: str) -> tuple[str, int | None]:
    """Host and port of HOST, HOST:PORT or [IPv6]:PORT; None is the usual port."""
    parts = urlsplit(f"mqtt://{text}")
    if "@" in text:
        raise argparse.ArgumentTypeError("user and password come from MQTT_USER and MQTT_PASSWORD")
    if not parts.hostname or parts.netloc != text:
        raise ValueError(text)
    return parts.hostname, parts.port


def published(
    host: str, port: int | None, topic: str, *, tls: bool, until_done: contextlib.ExitStack
) -> Callable[[PosedFrame], None]:
    """What sends a frame's line to the broker, which it connects to again whenever that is away."""
    try:
        import paho.mqtt.client as mqtt  # noqa: PLC0415 - only who wants it needs it
    except ImportError:
        raise MissingExtraError.of("paho-mqtt", "mqtt", use="--mqtt") from None

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    if "MQTT_USER" in os.environ:
        client.username_pw_set(os.environ["MQTT_USER"], os.environ.get("MQTT_PASSWORD"))
    if tls:
        client.tls_set()
    client.connect_async(host, port or (8883 if tls else 1883), keepalive=10)
    client.loop_start()
    until_done.callback(client.loop_stop)
    until_done.callback(client.disconnect)

    def send(posed: PosedFrame) -> None:
        if client.is_connected():
            client.publish(topic, json.dumps(pose_line(posed)))

    return send


def watch(arguments: argparse.Namespace) -> None:
    """Send a line for each frame until the source ends."""
    with contextlib.ExitStack() as opened:
        estimator = opened.enter_context(PoseEstimator(arguments.engine))
        boxes, follower = FullFrame(), None
        if arguments.detector:
            boxes = DetectedPeople(opened.enter_context(open_detector(arguments.detector)))
            follower = PeopleFollower(estimator.skeleton, smoothing=Smoothing())
        send = PoseLines(sys.stdout).add
        if arguments.mqtt:
            send = published(*arguments.mqtt, arguments.topic, tls=arguments.tls, until_done=opened)
        source = opened.enter_context(open_source(arguments.source, tell=tell))
        for posed in posed_frames(source, estimator, boxes, follower):
            send(posed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("source")
    parser.add_argument("--detector")
    parser.add_argument("--mqtt", type=broker, metavar="HOST[:PORT]", help="without a port 1883, with --tls 8883")
    parser.add_argument("--topic", default="amfac/poses")
    parser.add_argument("--tls", action="store_true")
    try:
        watch(parser.parse_args())
    except KeyboardInterrupt:
        pass
    except AmfacError as error:
        tell(f"{error.problem}. {error.cure}")
        sys.exit(error.exit_code)
