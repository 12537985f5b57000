# An image with mmspd and its command. DEVICE chooses the build of PyTorch:
#   docker build --tag mmspd .
#   docker build --tag mmspd:cuda --build-arg DEVICE=cuda .
# docs/docker.md shows how to use the image.
ARG DEVICE=cpu

FROM python:3.11-slim-bookworm AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/constraints.txt /requirements/

# The builds of PyPI need a GPU's driver only; NVIDIA's toolkit reads the variables.
FROM python AS torch-cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN pip install --no-cache-dir --constraint /requirements/constraints.txt \
    torch torchvision

FROM python AS torch-cpu
RUN pip install --no-cache-dir --no-deps --constraint /requirements/constraints.txt \
    torch torchvision --index-url https://download.pytorch.org/whl/cpu

FROM python AS wheel
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

# The dependencies change less often than the code, so they have a layer of their own.
# hadolint ignore=DL3006
FROM torch-${DEVICE}
RUN pip install --no-cache-dir --no-deps --requirement /requirements/constraints.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl \
    && useradd --create-home --uid 1000 mmspd \
    && mkdir --mode 1777 /cache /work

# With --user, the process may have no home folder, so downloads go to /cache.
ENV MMSPD_HOME=/cache/mmspd TORCH_HOME=/cache/torch HF_HOME=/cache/huggingface \
    MPLCONFIGDIR=/cache/matplotlib
USER 1000
WORKDIR /work
EXPOSE 7860
ENTRYPOINT ["mmspd"]
CMD ["--help"]
