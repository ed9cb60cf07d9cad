FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# OpenCV's headless build needs no display libraries; the package checks for the module, not for the distribution.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir /wheels/*.whl onnxruntime opencv-python-headless \
    && useradd --create-home amfac
USER amfac
WORKDIR /data
CMD ["amfac-doctor"]
