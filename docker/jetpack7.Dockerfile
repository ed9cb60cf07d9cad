# Orin or Thor with JetPack 7.2: TensorRT 10.16.2, CUDA 13.2, Python 3.12; no torch, no onnx.
# NVIDIA has no L4T image of this generation, so its packages come from the board's own package source. On the board:
#     docker build --build-context apt=/etc/apt -f docker/jetpack7.Dockerfile -t amfac-edge:jetpack7 .
# Run with --runtime nvidia: the driver's and the camera's libraries come from the board.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ubuntu:24.04
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=all \
    XDG_CACHE_HOME=/cache \
    PATH=/opt/amfac/bin:$PATH
# "apt" is the build context named above.
# hadolint ignore=DL3022
COPY --from=apt sources.list.d/nvidia-l4t-apt-source.list /etc/apt/sources.list.d/
# hadolint ignore=DL3022
COPY --from=apt trusted.gpg.d/jetson-ota-public.asc /etc/apt/trusted.gpg.d/
# TensorRT is pinned, since a plan loads in one release only; the rest is Ubuntu's and follows its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes \
        "libnvinfer10=10.16.2.*" "libnvinfer-plugin10=10.16.2.*" "libnvonnxparsers10=10.16.2.*" \
        "python3-libnvinfer=10.16.2.*" \
        python3-opencv python3-venv gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/amfac
# NVRTC compiles the kernel of --crops gpu.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl cuda-python==13.2.0 nvidia-cuda-nvrtc==13.2.78 \
    && useradd --create-home --uid 10001 --groups video amfac \
    && install --directory --owner=10001 /cache
VOLUME /cache
USER 10001
WORKDIR /data
CMD ["amfac-doctor"]
