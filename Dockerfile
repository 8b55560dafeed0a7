# syntax=docker/dockerfile:1
# Zapvisor in one container: gateway, orchestrator, workers, PostgreSQL and Redis under one supervisord.

FROM python:3.11-slim-bookworm AS build
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# A compiler for ecosystem/_pages.c, 4 MB less for every session; the image itself has none.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /app/.venv
COPY requirements.lock ./
COPY deploy/setup/build.lock deploy/setup/
RUN .venv/bin/pip install --require-hashes -r deploy/setup/build.lock \
 && .venv/bin/pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY ecosystem ecosystem
COPY orchestrator orchestrator
COPY worker worker
RUN .venv/bin/pip install --no-deps --no-build-isolation --no-index . \
 && cd / && /app/.venv/bin/python -c "from ecosystem import pages; assert pages.library(), 'ecosystem/_pages.c was not compiled'"

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg libmagic1 tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --user-group --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin zapvisor \
 && install -d -o zapvisor -g zapvisor -m 0700 /data
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ZAPVISOR_HOME=/data \
    LISTEN_HOST=0.0.0.0 \
    PORT=3000 \
    BASE_PORT=3001 \
    ENVIRONMENT=production
USER zapvisor
WORKDIR /data
VOLUME /data
# The gateway; and the workers' own ports, which listen on loopback unless WORKER_HOST says otherwise.
EXPOSE 3000 3001-3100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
# tini reaps what is orphaned and passes SIGTERM on: `zapvisor up` then stops every session in order.
ENTRYPOINT ["tini", "--"]
CMD ["zapvisor", "up"]
