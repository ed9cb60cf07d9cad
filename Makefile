# make demo: the main job on a real picture.   make test: every quality tool and every test.
# Both need a Python of 3.10 or newer with venv and pip; another one than python3 is named by PYTHON=python3.12.
# On Linux the plain torch brings CUDA (gigabytes). Where pip is also shown PyTorch's index of CPU builds
# (PIP_EXTRA_INDEX_URL=... make demo), it takes the CPU build of the same release.

PYTHON ?= python3
# The floor's interpreter, found on the path or kept by pyenv; empty where there is none.
PYTHON_FLOOR = $(shell for version in "" 3.10; do \
    PYENV_VERSION=$$version python3.10 -c 'import sys; print(sys.executable)' 2>/dev/null && break; done)
PYTEST_ARGS ?= -n auto --dist=loadfile

VENV := .venv
RUN := $(VENV)/bin
PIP_FROM = -m pip install --quiet --disable-pip-version-check -c
PIP_INSTALL = $(PIP_FROM) requirements/constraints.txt
INSTALLED := $(VENV)/.installed

.DELETE_ON_ERROR:
.PHONY: help demo test rtx sshd rtsp gstreamer camera-age triton check check-style check-types check-contracts tests coverage test-310 package clean

help:
	@echo "make demo      install into $(VENV), export a model, run it on a photo, measure it; results in demo-out/"
	@echo "make test      the same environment: all quality tools, then all tests"
	@echo "make rtx       TensorRT-RTX into the same environment (250 MB): its tests build real plans, without a GPU"
	@echo "make sshd      an ssh server, unpacked into .make: the tests of building over ssh connect to it"
	@echo "make rtsp      an RTSP server and a static ffmpeg, unpacked into .make: the tests of cameras watch its stream"
	@echo "make triton    a Triton server (140 MB) into .make: the tests of Triton repositories serve them"
	@echo "make gstreamer GStreamer, its bindings and an OpenCV that has it (120 MB) into .make: tests read real pipelines"
	@echo "make camera-age  how old a camera's frames are in hand: a naive loop beside ours, on that server (3 minutes)"
	@echo "make peers     environments of what people use instead (1 GB) into .make: amfac-bench peers times them too"
	@echo "make check     the quality tools alone          make tests     the tests alone"
	@echo "make coverage  the tests, and which lines none of them reaches"
	@echo "make test-310  the board's tests on Python 3.10 and the oldest libraries, where one is found"
	@echo "make package   wheel and source archive into dist/"
	@echo "make clean     remove what the others made"

# -------------------------------------------------------------------------------------------------------- environment

# Made again when what it installs changes; the package itself is installed in place.
$(INSTALLED): pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo "make: Python 3.10 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo absent)." >&2; \
	    echo "  Name one that is: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.11" >&2; exit 3; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "make: $(PYTHON) can't make a virtual environment." >&2; \
	    echo "  On Debian and Ubuntu: apt install python3-venv" >&2; exit 3; }
	@echo "installing into $(VENV); the first time takes some minutes" >&2
	@$(RUN)/python $(PIP_INSTALL) -e ".[export,eval,dev]"
	@touch $@

# --------------------------------------------------------------------------------------------------------------- demo

DEMO := demo-out
MODEL := amfacpose-r18-128x128-crowdpose
ENGINE := $(DEMO)/$(MODEL).cpu.fp32.onnx
PHOTO := .make/astronaut.png
# x, y, width, height of the whole person, legs and all, of whom the photo shows the upper half.
PERSON := [0, -20, 480, 900]

demo: $(INSTALLED) $(PHOTO)
	@mkdir -p $(DEMO)
	$(RUN)/amfac-export export/checkpoints/$(MODEL).safetensors --target cpu --out $(DEMO)
	@echo '[{"image_id": "astronaut", "category_id": 1, "bbox": $(PERSON), "score": 1}]' > $(DEMO)/person.json
	$(RUN)/amfac-run --engine $(ENGINE) --source $(PHOTO) --boxes $(DEMO)/person.json --min-score 0.5 \
	    --save $(DEMO)/astronaut.jpg --results $(DEMO)/results.json
	$(RUN)/amfac-bench $(ENGINE)
	@echo
	@echo "The model that runs:  $(ENGINE)  (and its manifest, .json beside it)"
	@echo "The annotated photo:  $(DEMO)/astronaut.jpg  (joints that are more likely right than wrong)"
	@echo "The joints as data:   $(DEMO)/results.json"
	@echo "The weights' card:    export/checkpoints/$(MODEL).md"
	@echo "Photo: Eileen Collins, NASA, public domain; astronaut.png as scikit-image ships it."

# One file out of a pinned wheel that is not installed.
$(PHOTO): | $(INSTALLED)
	@mkdir -p $(@D)
	@$(RUN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	    --python-version 3.11 --dest $(@D) scikit-image==0.26.0
	@$(RUN)/python -c 'import glob, hashlib, sys, zipfile; \
	    photo = zipfile.ZipFile(glob.glob("$(@D)/scikit_image-*.whl")[0]).read("skimage/data/astronaut.png"); \
	    known = hashlib.sha256(photo).hexdigest().startswith("88431cd9653ccd53"); \
	    open("$@", "wb").write(photo) if known else sys.exit("make: astronaut.png is not the picture that was expected")'
	@rm -f $(@D)/scikit_image-*.whl

# --------------------------------------------------------------------------------------------------------------- test

test: check tests

check: check-style check-types check-contracts

check-style: $(INSTALLED)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

check-types: $(INSTALLED)
	$(RUN)/mypy
	$(RUN)/basedpyright --pythonpath $(RUN)/python

check-contracts: $(INSTALLED)
	$(RUN)/lint-imports --no-logo
	$(RUN)/deptry .
	$(RUN)/validate-pyproject pyproject.toml

# TensorRT-RTX builds plans for RTX cards without one; 250 MB, so nobody gets it unasked. Its tests are skipped without it.
rtx: $(INSTALLED)
	$(RUN)/python $(PIP_INSTALL) "tensorrt-rtx==1.7.1.116"

# Building over ssh is tried against a real server. The system's own package, unpacked and not installed; where there is
# neither apt nor an sshd of the system's, those tests are skipped.
SSHD := .make/sshd/usr/sbin/sshd
SSHD_PACKAGES := openssh-server libwrap0

sshd:
	@if [ -x $(SSHD) ] || command -v sshd || [ -x /usr/sbin/sshd ]; then exit 0; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then $(MAKE) --no-print-directory $(SSHD); \
	else echo "make sshd: no apt here; the tests of building over ssh are skipped unless an sshd is installed"; fi

$(SSHD):
	@rm -rf .make/sshd .make/sshd-packages && mkdir -p .make/sshd-packages
	@cd .make/sshd-packages && { apt-get -qq download $(SSHD_PACKAGES) || \
	    { apt-get -qq update && apt-get -qq download $(SSHD_PACKAGES); }; }
	@for package in .make/sshd-packages/*.deb; do dpkg-deb -x "$$package" .make/sshd || exit 1; done

# Network cameras are tried against a real server, fed by a real encoder: the system's package and all that it needs, and
# the ffmpeg out of a wheel, unpacked and not installed. Without them those tests are skipped.
RTSP := .make/rtsp/usr/bin/rtsp-server-perl
FFMPEG := .make/rtsp/ffmpeg

rtsp: $(INSTALLED)
	@if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	    $(MAKE) --no-print-directory $(RTSP) $(FFMPEG); \
	else echo "make rtsp: no apt here; the tests of network cameras are skipped"; fi

$(RTSP):
	@rm -rf .make/rtsp-packages && mkdir -p .make/rtsp .make/rtsp-packages
	@cd .make/rtsp-packages && needed() { apt-get -qq --simulate --no-install-recommends install rtsp-server-perl | \
	        sed -n "s/^Inst \([^ ]*\) .*/\1/p"; } && \
	    packages=$$(needed) && { [ -n "$$packages" ] || { apt-get -qq update && packages=$$(needed); }; } && \
	    { apt-get -qq download $$packages || { apt-get -qq update && apt-get -qq download $$packages; }; }
	@for package in .make/rtsp-packages/*.deb; do dpkg-deb -x "$$package" .make/rtsp || exit 1; done

$(FFMPEG):
	@mkdir -p .make/rtsp
	@$(RUN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	    --dest .make/rtsp imageio-ffmpeg==0.6.0
	@$(RUN)/python -c 'import glob, zipfile; wheel = zipfile.ZipFile(glob.glob(".make/rtsp/imageio_ffmpeg-*.whl")[0]); \
	    (name,) = [name for name in wheel.namelist() if "/binaries/ffmpeg" in name]; \
	    open("$@", "wb").write(wheel.read(name))'
	@rm -f .make/rtsp/imageio_ffmpeg-*.whl && chmod +x $@

# Triton repositories are served by a real server, without a GPU, from an environment of its own; 140 MB, so nobody gets
# it unasked. Its tests are skipped without it.
TRITON := .make/triton

triton: $(TRITON)/.installed

$(TRITON)/.installed: requirements/triton.txt
	@$(PYTHON) -m venv $(TRITON)
	@$(TRITON)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/triton.txt
	@touch $@

# GStreamer by the system's bindings, for the system's Python: where that is another one, its test is skipped.
GSTREAMER := .make/gstreamer/usr/lib/python3/dist-packages/gi/__init__.py
# Named one by one: a machine may have some of them, and the others must fit.
GSTREAMER_PACKAGES := python3-gi libgirepository-1.0-1 gir1.2-glib-2.0 gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 \
    libgstreamer1.0-0 libgstreamer-plugins-base1.0-0 gstreamer1.0-plugins-base liborc-0.4-0

# OpenCV as a JetPack has it, with GStreamer, also for the system's Python: linked to all of its libraries, 120 MB.
OPENCV := .make/opencv
OPENCV_PACKAGES := python3-opencv python3-numpy libgstreamer1.0-0 libgstreamer-plugins-base1.0-0 gstreamer1.0-plugins-base

gstreamer:
	@if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	    $(MAKE) --no-print-directory $(GSTREAMER) $(OPENCV)/.unpacked; \
	else echo "make gstreamer: no apt here; the tests of pipelines are skipped"; fi

$(GSTREAMER):
	@rm -rf .make/gstreamer .make/gstreamer-packages && mkdir -p .make/gstreamer .make/gstreamer-packages
	@cd .make/gstreamer-packages && { apt-get -qq download $(GSTREAMER_PACKAGES) || \
	    { apt-get -qq update && apt-get -qq download $(GSTREAMER_PACKAGES); }; }
	@for package in .make/gstreamer-packages/*.deb; do dpkg-deb -x "$$package" .make/gstreamer || exit 1; done

$(OPENCV)/.unpacked:
	@rm -rf $(OPENCV) $(OPENCV)-packages && mkdir -p $(OPENCV) $(OPENCV)-packages
	@cd $(OPENCV)-packages && needed() { { apt-get -qq --simulate --no-install-recommends install $(OPENCV_PACKAGES) | \
	        sed -n "s/^Inst \([^ ]*\) .*/\1/p"; printf "%s\n" $(OPENCV_PACKAGES); } | sort -u; } && \
	    { apt-get -qq download $$(needed) || { apt-get -qq update && apt-get -qq download $$(needed); }; }
	@for package in $(OPENCV)-packages/*.deb; do dpkg-deb -x "$$package" $(OPENCV) || exit 1; done
	@rm -rf $(OPENCV)-packages && touch $@

camera-age: rtsp
	PYTHONPATH=. $(RUN)/python tests/cameras/measure_age.py

# What amfac-bench peers stands beside, an environment each. PEERS=yolo adds a program under the AGPL, which brings torch.
PEERS := openvino rtmlib

peers: $(PEERS:%=.make/peers/%/.installed)

.make/peers/%/.installed: bench/peers/%.txt
	@$(PYTHON) -m venv .make/peers/$*
	@.make/peers/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# A worker has a core, so torch takes one thread in each: two of each other's are half as fast.
tests: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest $(PYTEST_ARGS)

# Which lines no test reaches; apart from make test, since it takes three times as long.
coverage: $(INSTALLED)
	$(RUN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term

# What a JetPack 6 board runs, on its Python, and on the oldest libraries that are promised: no torch here. onnx only
# builds the tests' own files.
FLOOR := .make/venv-310
LEAN_TESTS := $(filter-out tests/networks tests/graph tests/quantization tests/pipeline tests/accuracy \
    tests/training tests/cli tests/house, \
    $(patsubst %/,%,$(sort $(dir $(wildcard tests/*/test_*.py))))) \
    $(addprefix tests/,cli/test_command.py house/test_commands.py house/test_lean_import.py house/test_root.py)

test-310:
	@if [ -n "$(PYTHON_FLOOR)" ]; then $(MAKE) --no-print-directory $(FLOOR)/.tested; else \
	    echo "test-310 was skipped: no python3.10 here; the floor was only checked statically"; fi

$(FLOOR)/.tested: .FORCE $(FLOOR)/.installed
	@echo "on Python 3.10, with $$(cat $(FLOOR)/.installed)"
	$(FLOOR)/bin/python -m pytest $(PYTEST_ARGS) -m "not gpu and not jetson" $(LEAN_TESTS)

$(FLOOR)/.installed: pyproject.toml requirements/floor.txt requirements/constraints.txt
	@"$(PYTHON_FLOOR)" -m venv --clear $(FLOOR)
	@install() { $(FLOOR)/bin/python $(PIP_FROM) "$$1" -e ".[cpu]" onnx hypothesis \
	    pytest pytest-randomly pytest-socket pytest-timeout pytest-xdist; }; \
	    if install requirements/floor.txt; then echo "the oldest libraries that are promised" > $@; else \
	    install requirements/constraints.txt && echo "the newest libraries: pip could not install the oldest" > $@; fi

.PHONY: .FORCE
.FORCE:

# ------------------------------------------------------------------------------------------------------------ package

package: $(INSTALLED)
	$(RUN)/python -m build --no-isolation --outdir dist
	$(RUN)/check-wheel-contents dist/*.whl

clean:
	rm -rf $(VENV) .make build dist $(DEMO) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
