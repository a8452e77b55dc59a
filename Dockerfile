# syntax=docker/dockerfile:1
# The sidecar as an image, for amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 --tag retry-sidecar .
# Every package comes from a lock file, by hash. To fix the base as well, name it by digest:
# --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# image: with the stores (Redis, PostgreSQL), signed policies, traces and the gate; runtime: the proxy alone, half as large.
ARG LOCK=image
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source

# The tools that build the wheel live in an environment of their own, which is left behind in this stage.
COPY requirements/build.lock requirements/${LOCK}.lock requirements/
RUN python -m venv /tools \
 && /tools/bin/pip install --no-compile --require-hashes --only-binary :all: -r requirements/build.lock
# The environment that is handed on has neither pip nor a build tool in it.
RUN python -m venv --without-pip /opt/sidecar \
 && /tools/bin/pip --python /opt/sidecar/bin/python install --no-compile --require-hashes --only-binary :all: -r "requirements/${LOCK}.lock"

COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY config/scenarios config/scenarios
COPY docs/refusals.md docs/
COPY docs/refusals docs/refusals
COPY docs/runbooks docs/runbooks
# Compiled once, here: a read-only root could not keep what is compiled at the start. Hashes, not times, say what is current.
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /opt/sidecar/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sidecar/lib

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Retry Sidecar" \
      org.opencontainers.image.description="A sidecar proxy that owns the retries of its service" \
      org.opencontainers.image.authors="The Retry Sidecar contributors" \
      org.opencontainers.image.vendor="The Retry Sidecar contributors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.url="https://github.com/retry-sidecar/retry-sidecar" \
      org.opencontainers.image.source="https://github.com/retry-sidecar/retry-sidecar" \
      org.opencontainers.image.documentation="https://github.com/retry-sidecar/retry-sidecar/blob/main/docs/install.md" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# A number, so that Kubernetes can check runAsNonRoot. Nothing is written at run time: the root may be read-only.
USER 65532:65532
WORKDIR /
# Admin, egress, health and metrics, ingress, intercepted traffic, the first port of a destination's own, the webhook.
EXPOSE 16000 16001 16002 16006 16007 16101 16443

# Ready means: the policy is in force and the ports are bound. SIDECAR_ADMIN says where admin listens, if elsewhere.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["sidecar", "health"]

# SIGTERM drains: what is in flight is finished first.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sidecar"]
CMD ["run", "--config", "/etc/sidecar/sidecar.yaml"]
