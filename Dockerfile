# Training on NVIDIA GPUs:
#   docker build -t scalarpath .
#   docker run --gpus all -v "$PWD/outputs:/work/outputs" scalarpath backbone=mace head=panpgs trainer=gpu
# torch from constraints.txt carries its own CUDA libraries; the base image supplies the matching driver interface.
ARG BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv git g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /opt/scalarpath
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN grep '^torch==' constraints.txt | xargs pip install --no-cache-dir
COPY conf conf
COPY data data
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt .

WORKDIR /work
ENTRYPOINT ["scalarpath-train"]
