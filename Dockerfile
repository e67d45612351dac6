# Two images; every install step is a script in docker/ that the tests run in a plain virtual environment.
#
#   docker build --target train -t hardedge:train .     training and export
#   docker build --target edge  -t hardedge:edge .      predict, deploy and verify on NVIDIA's TensorRT image; no torch
#
# The edge image on another TensorRT, on a Jetson (JetPack 6), and on a machine without a GPU; a base may be NAME@sha256:DIGEST:
#   docker build --target edge --build-arg EDGE_BASE=nvcr.io/nvidia/tensorrt:25.06-py3 .
#   docker build --target edge --build-arg EDGE_BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel .
#   docker build --target edge --build-arg EDGE_BASE=python:3.12-slim .
#
# Behind a proxy or with an index of your own, for the build alone; `make images` passes this machine's:
#   docker build --secret id=pip.conf,src=FILE --secret id=ca.crt,src=FILE --secret id=apt.conf,src=FILE ...
ARG PYTHON_BASE=python:3.12-slim
ARG EDGE_BASE=nvcr.io/nvidia/tensorrt:25.10-py3

FROM ${PYTHON_BASE} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY docker/settings.sh docker/wheel.sh docker/
COPY src src
COPY models models
COPY train train
COPY export export
COPY deploy deploy
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt \
    docker/wheel.sh /wheels

FROM ${PYTHON_BASE} AS requirements
WORKDIR /source
COPY pyproject.toml ./
COPY docker/requirements.py docker/
RUN docker/requirements.py /requirements

FROM ${EDGE_BASE} AS edge
ARG EDGE_BASE
ENV PATH=/opt/hardedge/bin:$PATH ORT_DISABLE_TELEMETRY=1
WORKDIR /opt/install
COPY docker/settings.sh docker/environment.sh docker/tensorrt.sh docker/dependencies.sh docker/constraints.txt docker/
COPY --from=requirements /requirements requirements
# before the wheel: a changed line of code installs nothing of this again
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt --mount=type=secret,id=apt.conf \
    docker/environment.sh /opt/hardedge && docker/tensorrt.sh "$EDGE_BASE" && docker/dependencies.sh device requirements
# a member of video: a Jetson's GPU belongs to that group
RUN useradd --uid 10001 --groups video --create-home hardedge && install --directory --owner 10001 /work
COPY docker/install.sh docker/
COPY --from=wheel /wheels wheels
RUN docker/install.sh device wheels
ARG SOURCE
ARG VERSION
ARG REVISION
ARG LICENCE
LABEL org.opencontainers.image.title=hardedge org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.version=$VERSION org.opencontainers.image.revision=$REVISION \
    org.opencontainers.image.licenses=$LICENCE
USER 10001
WORKDIR /work
ENTRYPOINT ["hardedge"]

FROM ${PYTHON_BASE} AS train
ENV PATH=/opt/hardedge/bin:$PATH ORT_DISABLE_TELEMETRY=1 LOGNAME=hardedge
WORKDIR /opt/install
COPY docker/settings.sh docker/environment.sh docker/compiler.sh docker/dependencies.sh docker/constraints.txt docker/
COPY --from=requirements /requirements requirements
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.crt --mount=type=secret,id=apt.conf \
    docker/environment.sh /opt/hardedge && docker/compiler.sh && docker/dependencies.sh train requirements
RUN useradd --uid 10001 --create-home hardedge && install --directory --owner 10001 /work
COPY docker/install.sh docker/
COPY --from=wheel /wheels wheels
RUN docker/install.sh train wheels
ARG SOURCE
ARG VERSION
ARG REVISION
ARG LICENCE
LABEL org.opencontainers.image.title=hardedge org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.version=$VERSION org.opencontainers.image.revision=$REVISION \
    org.opencontainers.image.licenses=$LICENCE
USER 10001
WORKDIR /work
ENTRYPOINT ["hardedge"]
