# The container image: one file for every variant. A devel image builds the trainer and runs its tests; the image that
# ships holds the program, the networks, MNIST and the libraries that they need, but neither compiler nor sources.
# scripts/build_image.sh names the arguments; by hand:
#   docker build --tag mnist-trainer .
#   docker build --tag mnist-trainer:cpu --target cpu --build-arg VARIANT=cpu
#     --build-arg DEVEL_IMAGE=ubuntu:24.04 --build-arg RUNTIME_IMAGE=ubuntu:24.04 .
# The two bases have the same OS. For x86-64; the same file is meant for arm64 (NVIDIA's bases exist for both), which
# has not been built yet.
ARG CUDA_VERSION=13.0.1
ARG OS=ubuntu24.04
ARG DEVEL_IMAGE=nvidia/cuda:${CUDA_VERSION}-cudnn-devel-${OS}
ARG RUNTIME_IMAGE=nvidia/cuda:${CUDA_VERSION}-base-${OS}

FROM ${DEVEL_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY scripts/install_packages.sh scripts/
RUN ./scripts/install_packages.sh --build --test
COPY . .
# cuda or cpu.
ARG VARIANT=cuda
# The architectures for nvcc: machine code for each family, PTX of 90 and of the newest for those in between and future ones.
ARG ARCHITECTURES=75-real;80-real;86-real;89-real;90;100-real;120
# The cuDNN version that the devel image must have; any other one stops the build.
ARG CUDNN_VERSION=9.13.0
# ON adds NVRTC (114 MB) for those engines of cuDNN that are compiled at run time.
ARG NVRTC=OFF
# ON adds what several ranks need: the plugin for Open MPI, mpirun, ssh and sshd, and NCCL in the CUDA variant.
ARG RANKS=OFF
# OFF builds without running the tests.
ARG TESTS=ON
ARG COMMIT=
RUN VARIANT="${VARIANT}" ARCHITECTURES="${ARCHITECTURES}" CUDNN_VERSION="${CUDNN_VERSION}" NVRTC="${NVRTC}" \
    RANKS="${RANKS}" TESTS="${TESTS}" TRAINER_COMMIT="${COMMIT}" ./scripts/image/build_inside.sh /image

FROM ${RUNTIME_IMAGE} AS runtime
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY --from=build /image/packages /tmp/packages
# The packages of the libraries that the program is linked with, as the build found them. sshd's keys are made where it runs.
RUN apt-get update --quiet=2 \
 && DEBIAN_FRONTEND=noninteractive xargs --arg-file=/tmp/packages \
    apt-get install --quiet=2 --yes --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/* /var/log/apt /var/log/dpkg.log /tmp/packages /etc/ssh/ssh_host_*
COPY --from=build /image/mnist-trainer /opt/mnist-trainer
# Folders that any user may write to, as in /tmp: --user may give the container another user. trainer submit has its run in /runs.
RUN echo /opt/mnist-trainer/lib >/etc/ld.so.conf.d/mnist-trainer.conf && ldconfig \
 && install --directory --mode=1777 /work /cache /runs
ENV PATH=/opt/mnist-trainer/bin:${PATH} \
    LANG=C.UTF-8 \
    TRAINER_CACHE=/cache
WORKDIR /work
USER 1000:1000
STOPSIGNAL SIGTERM
# It runs rarely, because it accesses the GPU that a training uses.
HEALTHCHECK --interval=5m --timeout=30s --start-period=30s CMD ["trainer", "doctor", "--quick"]
ENTRYPOINT ["trainer"]
CMD ["--help"]
ARG VERSION=
ARG COMMIT=
LABEL org.opencontainers.image.title="mnist-trainer" \
      org.opencontainers.image.description="Trains small convolutional networks on MNIST, on a GPU or a CPU" \
      org.opencontainers.image.licenses="MIT AND CC-BY-SA-3.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

FROM runtime AS cpu
ARG RANKS=OFF
LABEL mnist-trainer.variant="cpu" \
      mnist-trainer.ranks="${RANKS}"

FROM runtime AS cuda
ARG CUDA_VERSION
ARG CUDNN_VERSION=9.13.0
ARG ARCHITECTURES=75-real;80-real;86-real;89-real;90;100-real;120
ARG NVRTC=OFF
ARG RANKS=OFF
# NVIDIA's Container Toolkit reads these; NVIDIA_REQUIRE_CUDA comes with NVIDIA's base.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
LABEL mnist-trainer.variant="cuda" \
      mnist-trainer.cuda="${CUDA_VERSION}" \
      mnist-trainer.cudnn="${CUDNN_VERSION}" \
      mnist-trainer.nvrtc="${NVRTC}" \
      mnist-trainer.ranks="${RANKS}" \
      mnist-trainer.architectures="${ARCHITECTURES}"
