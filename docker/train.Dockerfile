# Training, evaluation and export. Data, runs and artifacts are mounted, never part of the image:
#
#   docker build -f docker/train.Dockerfile -t capsnet-service:train .
#
# torch comes from pip's own index, on Linux with CUDA; --build-arg TORCH_INDEX=https://… takes it from another one,
# such as PyTorch's index of CPU-only builds, and that wheel alone is compared with no hash. Exports are proven on the CPU,
# so ONNX Runtime is the small package.

# The one base of all stages, for all platforms: the tag says which Python, the digest which bytes. Public repositories name
# this digest as that of python:3.11-slim on 2026-09-22. `make pin-images` asks the registry for the newest one.
ARG PYTHON_IMAGE=python:3.11-slim@sha256:da047cb8f9d1d98e5c070f5300ba9f7274e33b8fc0e5be5ed88740aed1b95ba9

FROM ${PYTHON_IMAGE} AS dependencies
ARG TORCH_INDEX=""
COPY requirements/train.txt requirements/torch-cuda.txt requirements/runtime-cpu.txt /tmp/requirements/
RUN python -m venv --without-pip /opt/venv \
    && install() { python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check "$@"; } \
    && if [ -n "$TORCH_INDEX" ]; then \
         install --no-deps --index-url "$TORCH_INDEX" "$(grep -o '^torch==[0-9.]*' /tmp/requirements/train.txt)"; \
       else \
         install --require-hashes -r /tmp/requirements/torch-cuda.txt; \
       fi \
    && install --require-hashes -r /tmp/requirements/train.txt -r /tmp/requirements/runtime-cpu.txt

FROM ${PYTHON_IMAGE} AS code
WORKDIR /srv/capsnet
COPY capsnet capsnet
COPY model model
COPY training training
# A clone may be closed to others, and training runs as another user.
RUN chmod -R a+rX . && python -m compileall -q --invalidation-mode unchecked-hash capsnet model training

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="capsnet-service (training)" \
      org.opencontainers.image.description="Trains capsule networks and exports them to ONNX" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The capsnet maintainers" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# The root file system is read-only: whatever wants a cache gets the temporary folder.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    CAPSNET_DATA=/srv/capsnet/data
WORKDIR /srv/capsnet
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /srv/capsnet ./
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]
