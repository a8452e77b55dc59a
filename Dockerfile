# syntax=docker/dockerfile:1
# The sidecar as an image, for amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 --tag retry-sidecar .
# Every package comes from the lock files, by hash. To fix the base as well, name it by digest:
# --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source

# The tools that build the wheel live in an environment of their own, which is left behind in this stage.
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN python -m venv /tools \
 && /tools/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock
# The environment that is handed on has neither pip nor a build tool in it.
RUN python -m venv --without-pip /opt/sidecar \
 && /tools/bin/pip --python /opt/sidecar/bin/python install --require-hashes --only-binary :all: -r requirements/runtime.lock

COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY config/scenarios config/scenarios
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /opt/sidecar/bin/python install --no-deps --no-index /wheels/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/sidecar/lib

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Retry Sidecar" \
      org.opencontainers.image.description="A sidecar proxy that owns the retries of its service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# A number, so that Kubernetes can check runAsNonRoot. Nothing is written at run time: the root may be read-only.
USER 65532:65532
WORKDIR /
EXPOSE 16000 16001

# Ready means: the policy is in force and the ports are bound. It asks the default admin address; override it with
# --health-cmd, or --no-healthcheck, where sidecar.yaml moves admin elsewhere.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:16000/readyz', timeout=2)"]

# SIGTERM drains: what is in flight is finished first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sidecar"]
CMD ["run", "--config", "/etc/sidecar/sidecar.yaml"]
