# Two images, one install script (docker/install.sh, which the tests run in a plain virtual environment):
#   docker build --target edge  -t hardedge:edge .     the edge side: predict, deploy, verify; no torch
#   docker build --target train -t hardedge:train .    training and export as well
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS source
WORKDIR /opt/hardedge
COPY pyproject.toml README.md ./
COPY docker docker
COPY src src
COPY models models
COPY train train
COPY export export
COPY deploy deploy

FROM source AS edge
RUN docker/install.sh edge
RUN useradd --create-home hardedge
USER hardedge
WORKDIR /work
ENTRYPOINT ["hardedge"]

FROM source AS train
RUN docker/install.sh train
RUN useradd --create-home hardedge
USER hardedge
WORKDIR /work
ENTRYPOINT ["hardedge"]
