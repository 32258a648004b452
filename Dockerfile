# Two images from one file, neither of which needs a network when it runs:
#   docker build --target eval -t edgeft:eval .      what a board needs
#   docker build --target tune -t edgeft:tune .      the workstation
#   docker run --rm --network none -v "$PWD:/work" edgeft:eval eval bundle
# The base image has builds for amd64 and arm64.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS base
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 HF_HOME=/tmp/huggingface TOKENIZERS_PARALLELISM=false
RUN useradd --create-home --uid 1000 edgeft && mkdir /work && chown edgeft /work
COPY pyproject.toml README.md LICENSE /source/
COPY edgeft /source/edgeft
COPY profiles /source/profiles
WORKDIR /work

FROM base AS eval
RUN pip install '/source[device,audio,report]' && rm -rf /source
USER edgeft
ENTRYPOINT ["edgeft"]
CMD ["doctor"]

FROM base AS tune
RUN pip install '/source[train,audio,report]' && rm -rf /source
USER edgeft
ENTRYPOINT ["edgeft"]
CMD ["--help"]
