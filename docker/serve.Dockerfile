# The service. One file for both devices, which differ in the lock file of ONNX Runtime alone:
#
#   docker build -f docker/serve.Dockerfile -t capsnet-service:cpu .
#   docker build -f docker/serve.Dockerfile -t capsnet-service:gpu --build-arg DEVICE=gpu .
#
# PyTorch is in neither. The GPU image brings CUDA 13 and cuDNN 9 as wheels, so the host needs NVIDIA's driver and
# container toolkit alone.

# The one base of all stages, for all platforms: the tag says which Python, the digest which bytes. Public repositories name
# this digest as that of python:3.11-slim on 2026-09-22. `make pin-images` asks the registry for the newest one.
ARG PYTHON_IMAGE=python:3.11-slim@sha256:da047cb8f9d1d98e5c070f5300ba9f7274e33b8fc0e5be5ed88740aed1b95ba9

FROM ${PYTHON_IMAGE} AS dependencies
ARG DEVICE=cpu
COPY requirements/serve.txt requirements/runtime-${DEVICE}.txt /tmp/requirements/
# The environment itself holds no pip; pip compiles to bytecode as it installs, because nothing can be written later.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
       --require-hashes -r /tmp/requirements/serve.txt -r /tmp/requirements/runtime-${DEVICE}.txt

FROM ${PYTHON_IMAGE} AS code
WORKDIR /srv/capsnet
COPY docker/healthcheck.py ./
COPY capsnet capsnet
COPY app app
# A clone may be closed to others, and the service runs as another user.
# `unchecked-hash`: the file system is read-only, so a start need not compare sources with their bytecode.
RUN chmod -R a+rX . && python -m compileall -q --invalidation-mode unchecked-hash app capsnet

FROM ${PYTHON_IMAGE} AS models
COPY artifacts /models
RUN chmod -R a+rX /models

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="capsnet-service" \
      org.opencontainers.image.description="Capsule networks that answer with class, pose and reconstruction" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The capsnet maintainers" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    CAPSNET_HOST=0.0.0.0 \
    CAPSNET_PORT=8000 \
    CAPSNET_LOG_FORMAT=json
WORKDIR /srv/capsnet
# From what changes least to what changes most.
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=models /models artifacts
COPY --from=code /srv/capsnet ./
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python", "healthcheck.py"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app"]
