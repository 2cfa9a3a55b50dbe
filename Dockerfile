# For NVIDIA GPUs; torch from constraints.txt carries its own CUDA libraries, the base image asks for the driver:
#   docker build -t scalarpath .
#   docker run --gpus all -v "$PWD/outputs:/work/outputs" scalarpath backbone=mace head=panpgs trainer=gpu
# For CPUs. Without TORCH_INDEX, the address of torch's CPU wheels that its site gives, it is several GB larger:
#   docker build -t scalarpath-cpu --build-arg BASE=ubuntu:24.04 --build-arg TORCH_INDEX=ADDRESS .
#   docker run -v "$PWD/outputs:/work/outputs" scalarpath-cpu backbone=mace head=panpgs
# Another command: docker run --entrypoint scalarpath-evaluate ... run=outputs/...
# To keep compiled kernels and graphs from one run to the next: -v scalarpath-cache:/root/.cache/scalarpath
ARG BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv git g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /opt/scalarpath
COPY constraints.txt pyproject.toml README.md LICENSE ./
ARG TORCH_INDEX=
RUN grep '^torch==' constraints.txt \
    | xargs pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"}
COPY conf conf
COPY data data
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt . && pip check && scalarpath-train --help > /dev/null

WORKDIR /work
ENTRYPOINT ["scalarpath-train"]
