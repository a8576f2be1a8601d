# The command `jscgc` in an image. From the root of a checkout:
#   docker build -t jscgc .
#   docker run --rm -v "$PWD:/work" jscgc transmit photo.jpg --snr-db 5 --cbr 8/768
# Add `--gpus all` for a GPU, and `--user "$(id -u):$(id -g)" -e HOME=/tmp` where your user's id is not 1000.
# It has not been built: no machine of ours runs a Docker daemon. hadolint passes. For a Ray cluster: pipeline/cluster/Dockerfile.

# 3.12 is the latest Python for which requirements.lock has every extra (pyproject.toml: text).
FROM python:3.12-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/jscgc/bin:$PATH
RUN python -m venv /opt/jscgc
WORKDIR /source
COPY requirements.lock ./
# These lines do what the Makefile's `install` does (tests/test_maintenance.py compares them). The gigabytes are a layer
# of their own, which an edit of our code leaves as it is.
RUN pip install --no-deps setuptools==84.2.1 -r requirements.lock \
    && MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE pip install --no-deps --no-build-isolation mamba-ssm==2.3.2.post1
COPY pyproject.toml README.md LICENSE ./
COPY jscgc jscgc
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-trixie
# Triton compiles mamba-ssm's kernels when they first run on a GPU. Debian keeps one version of a package, so a pin would
# break the build with the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 jscgc \
    && install --directory --owner=jscgc /work /opt/weights
COPY --from=build /opt/jscgc /opt/jscgc
ENV PATH=/opt/jscgc/bin:$PATH JSCGC_WEIGHTS=/opt/weights
USER 1000
RUN jscgc weights fetch lpips_alex lpips_vgg dists
WORKDIR /work
ENTRYPOINT ["jscgc"]
CMD ["--help"]
