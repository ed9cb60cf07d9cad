# Orin with JetPack 6.1, 6.2, 6.2.1 or 6.2.2: TensorRT 10.3, CUDA 12.6, Python 3.10; no torch, no onnx.
# Run with --runtime nvidia: the driver's and the camera's libraries come from the board.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=all \
    XDG_CACHE_HOME=/cache \
    PATH=/opt/amfac/bin:$PATH
# Ubuntu's OpenCV has GStreamer, which pip's has not; it and TensorRT's module are built on the system's NumPy 1.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes \
        python3-opencv python3-venv gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/amfac
# cuda-python is that of the board's CUDA: docs/runtime.md says why no newer one. Without TensorRT's module an image would be made in which every command but the engine's works.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl "numpy<2" cuda-python==12.6.2.post1 tomli==2.5.0 \
    && { test -d /usr/lib/python3.10/dist-packages/tensorrt \
        || { echo "the base image has no tensorrt module for Python 3.10: see docker/README.md" >&2; exit 1; }; } \
    && useradd --create-home --uid 10001 --groups video amfac \
    && install --directory --owner=10001 /cache
VOLUME /cache
USER 10001
WORKDIR /data
CMD ["amfac-doctor"]
