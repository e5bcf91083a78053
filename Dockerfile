# One image for each service:
#
#   docker build --build-arg SERVICE=delivery -t hooklane-delivery .
#
# An image holds Python on Debian, the packages that its service was tested with, the shared package
# and that service: the gateway has no Faust, the workers have no web framework. Its file system may
# be read-only but for /tmp, and nothing in it belongs to the user that it runs as.
# docs/decisions/0033-images.md says why it is like this, deploy/README.md how to move the base.

ARG BASE=python:3.11.16-slim-bookworm
ARG DIGEST=@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

# The service's packages, from its lock, as a virtual environment without an installer.
FROM ${BASE}${DIGEST} AS packages
ARG SERVICE
COPY requirements/${SERVICE}.txt /requirements.txt
RUN --mount=type=cache,target=/downloads \
    python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --quiet --cache-dir /downloads --no-compile \
       --no-deps --require-hashes -r /requirements.txt \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

# The service's code, and the program that runs it: a CMD without a shell knows no build argument.
FROM ${BASE}${DIGEST} AS program
ARG SERVICE
WORKDIR /app
COPY LICENSE LICENSE
COPY shared shared
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE} services/${SERVICE}
RUN printf 'from services.%s.__main__ import main\n\nmain()\n' "${SERVICE}" > main.py \
    && python -m compileall -q --invalidation-mode unchecked-hash shared services

FROM ${BASE}${DIGEST}
ARG SERVICE
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOOKLANE_HEALTH_HOST=0.0.0.0 \
    HOOKLANE_HEALTH_PORT=8081 \
    HOOKLANE_GATEWAY_HOST=0.0.0.0
RUN useradd --uid 10001 --no-log-init --no-create-home --shell /usr/sbin/nologin hooklane
WORKDIR /app
COPY --from=packages /venv /venv
COPY --from=program /app /app
# Without everything that the service imports there is no image. What it imports of Python's own
# library, which comes as source, is compiled by the way: no start has to do that again.
RUN python -c "import services.${SERVICE}.__main__, shared.kafka.admin, shared.observe.probe"

ARG VERSION=unreleased
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="hooklane-${SERVICE}" \
      org.opencontainers.image.description="Hooklane, webhook delivery on Kafka: ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PYTHONDONTWRITEBYTECODE=1 \
    HOOKLANE_REVISION=${REVISION}

USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "shared.observe.probe"]
CMD ["python", "/app/main.py"]
