# Orin with JetPack 6.1 to 6.2.2 and eager PyTorch, the one image with torch: for holding Table 4 of the AMFACPose paper
# against the same network on the same board. Torch for the board's GPU is in no public index under a fixed name, so its
# wheel is named by whoever builds:
#     docker build --build-arg TORCH_INDEX=... --build-arg TORCH_VERSION=... -f docker/jetpack6-eager.Dockerfile \
#         -t amfac-edge:jetpack6-eager .
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
ARG TORCH_INDEX
ARG TORCH_VERSION
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=all \
    PATH=/opt/amfac/bin:$PATH
# hadolint ignore=DL3008
RUN test -n "$TORCH_INDEX" && test -n "$TORCH_VERSION" \
    || { echo "give --build-arg TORCH_INDEX=URL --build-arg TORCH_VERSION=VERSION: see docker/README.md" >&2; exit 1; } \
    && apt-get update \
    && apt-get install --no-install-recommends --yes python3-opencv python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --system-site-packages /opt/amfac
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --index-url "$TORCH_INDEX" "torch==$TORCH_VERSION" \
    && pip install --no-cache-dir /wheels/*.whl "numpy<2" safetensors==0.8.0 tomli==2.5.0 \
    && useradd --create-home --uid 10001 --groups video amfac
USER 10001
WORKDIR /data
CMD ["python", "-c", "import torch; print(torch.__version__, torch.cuda.get_device_name())"]
