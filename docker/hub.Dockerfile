# A hub, with what it needs for PostgreSQL, buckets, sign-in at a provider, alerts and OpenTelemetry.
# amd64 and arm64. Run by a user without rights on a root that stays as it is; DATA is a volume.
#
#   make wheels
#   docker build -f docker/hub.Dockerfile -t edge-hub .
#   docker run --rm -v hub-data:/var/lib/edge-hub edge-hub init /var/lib/edge-hub
#   docker run -d --read-only --tmpfs /tmp -v hub-data:/var/lib/edge-hub -p 8000:8000 edge-hub
#
# The release workflow passes BASE with the digest that the tag had, as for the device.
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS install
COPY requirements/hub.txt dist/edge_deployment_sdk_core-*.whl dist/edge_deployment_sdk_converters-*.whl \
    dist/edge_deployment_sdk_hub-*.whl /packages/
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/edge \
    && /opt/pip/bin/pip --python /opt/edge/bin/python install --no-cache-dir --only-binary=:all: \
        --require-hashes -r /packages/hub.txt \
    && /opt/pip/bin/pip --python /opt/edge/bin/python install --no-cache-dir --no-deps \
        /packages/edge_deployment_sdk_*.whl

FROM ${BASE}
COPY --from=install /opt/edge /opt/edge
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/edge-hub
# Trainings find a folder for their work in /tmp, and libraries that keep caches find a home there.
ENV PATH=/opt/edge/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp EDGE_HUB_SERVE_HOST=0.0.0.0
USER 10001:10001
VOLUME /var/lib/edge-hub
EXPOSE 8000
STOPSIGNAL SIGTERM
# Ready, but for what a restart would not mend (docs/OPERATIONS.md). A stranger may ask that, so no
# token is read. Behind TLS of the hub's own, or on another port, give a check of your own.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz?exclude=clock&exclude=keys&exclude=disk', timeout=5)"]
ENTRYPOINT ["edge-hub"]
CMD ["serve", "/var/lib/edge-hub"]
