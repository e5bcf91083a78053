# One image for each service:
#   docker build --build-arg SERVICE=delivery --build-arg REVISION=$(git rev-parse HEAD) \
#     -t hooklane-delivery .
#
# An image holds the packages that its service was tested with, the shared package and that service:
# the gateway has no Faust, the workers have no web framework.

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS packages
ARG SERVICE
COPY requirements/${SERVICE}.txt /requirements.txt
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements.txt

FROM python:${PYTHON}
ARG SERVICE
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SERVICE=${SERVICE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin hooklane
COPY --from=packages /venv /venv
WORKDIR /app
COPY shared shared
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE} services/${SERVICE}
# Of the source, as `git rev-parse HEAD` says it; every process tells it (GET /version).
ARG REVISION=
ENV HOOKLANE_REVISION=${REVISION}
USER 10001:10001
EXPOSE 8080 8081
CMD ["/bin/sh", "-c", "exec python -m services.$SERVICE"]
