# Any x86-64 or Arm machine: artefacts on the CPU by ONNX Runtime; no torch.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# OpenCV's headless build needs no display libraries; the package checks for the module, not for the distribution.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl \
        numpy==2.4.6 onnxruntime==1.31.1 opencv-python-headless==5.0.0.93 \
    && useradd --create-home --uid 10001 amfac
USER 10001
WORKDIR /data
CMD ["amfac-doctor"]
