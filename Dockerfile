# Two images; every install step is a script in docker/ that the tests run in a plain virtual environment.
#
#   docker build --target train -t hardedge:train .     training and export
#   docker build --target edge  -t hardedge:edge .      predict, deploy and verify on NVIDIA's TensorRT image; no torch
#
# The edge image on another TensorRT, on a Jetson (JetPack 6), and on a machine without a GPU:
#   docker build --target edge --build-arg EDGE_TAG=25.06-py3 .
#   docker build --target edge --build-arg EDGE_IMAGE=nvcr.io/nvidia/l4t-tensorrt --build-arg EDGE_TAG=r10.3.0-devel .
#   docker build --target edge --build-arg EDGE_IMAGE=python --build-arg EDGE_TAG=3.12-slim .
ARG PYTHON_TAG=3.12-slim
ARG EDGE_IMAGE=nvcr.io/nvidia/tensorrt
ARG EDGE_TAG=25.10-py3

FROM python:${PYTHON_TAG} AS wheel
WORKDIR /source
COPY pyproject.toml README.md ./
COPY docker docker
COPY src src
COPY models models
COPY train train
COPY export export
COPY deploy deploy
RUN docker/wheel.sh /wheels

FROM ${EDGE_IMAGE}:${EDGE_TAG} AS edge
ENV PATH=/opt/hardedge/bin:$PATH
WORKDIR /opt/docker
COPY docker docker
COPY --from=wheel /wheels /wheels
# a member of video: a Jetson's GPU belongs to that group
RUN docker/environment.sh /opt/hardedge && docker/install.sh device /wheels && rm -rf /wheels \
    && useradd --uid 10001 --groups video --create-home hardedge && install --directory --owner 10001 /work
USER 10001
WORKDIR /work
HEALTHCHECK --interval=5m --timeout=1m --start-period=1m CMD ["sh", "-c", "hardedge doctor || exit 1"]
ENTRYPOINT ["hardedge"]

FROM python:${PYTHON_TAG} AS train
ENV PATH=/opt/hardedge/bin:$PATH
WORKDIR /opt/docker
COPY docker docker
COPY --from=wheel /wheels /wheels
RUN docker/environment.sh /opt/hardedge && docker/install.sh train /wheels && rm -rf /wheels \
    && useradd --uid 10001 --create-home hardedge && install --directory --owner 10001 /work
USER 10001
WORKDIR /work
HEALTHCHECK --interval=5m --timeout=1m --start-period=1m CMD ["sh", "-c", "hardedge doctor || exit 1"]
ENTRYPOINT ["hardedge"]
