# A desktop machine with an NVIDIA card: TensorRT 10.16 for plans of the card, ONNX Runtime on the CPU; no torch.
# Run with --gpus all: the driver's libraries come from the host.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    XDG_CACHE_HOME=/cache
# pip's TensorRT brings its own CUDA runtime, so the base needs none; NVIDIA's TensorRT image has gigabytes of static
# libraries and samples besides. NVRTC compiles the kernel of --crops gpu.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl \
        numpy==2.4.6 tensorrt-cu12==10.16.1.11 cuda-python==12.9.4 nvidia-cuda-nvrtc-cu12==12.9.86 \
        onnxruntime==1.31.1 opencv-python-headless==5.0.0.93 \
    && useradd --create-home --uid 10001 amfac \
    && install --directory --owner=10001 /cache
VOLUME /cache
USER 10001
WORKDIR /data
CMD ["amfac-doctor"]
