# A device: the SDK with the CPU runtime, run by a user without rights on a root that stays as it is.
# amd64 and arm64. Alpine and 32-bit ARM have no wheels of onnxruntime.
#
#   make wheels
#   docker build -f docker/device.Dockerfile -t edge-device .
#   docker run --rm -v edge-state:/var/lib/edge edge-device enrol /var/lib/edge --hub URL --token T --model M
#   docker run -d --read-only -v edge-state:/var/lib/edge edge-device
#
# The release workflow passes BASE with the digest that the tag had, and what it built from is in the
# image's provenance; a checkout builds from the tag.
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS install
COPY requirements/device.txt dist/edge_deployment_sdk_core-*.whl /packages/
# pip stays behind in this stage. Everything is compiled here: a root that is read-only keeps no
# bytecode, and each start would compile it anew.
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/edge \
    && /opt/pip/bin/pip --python /opt/edge/bin/python install --no-cache-dir --only-binary=:all: \
        --require-hashes -r /packages/device.txt \
    && /opt/pip/bin/pip --python /opt/edge/bin/python install --no-cache-dir --no-deps \
        /packages/edge_deployment_sdk_core-*.whl

FROM ${BASE}
COPY --from=install /opt/edge /opt/edge
# The numeric user stands for itself where nobody has written it into /etc/passwd (Kubernetes'
# runAsNonRoot asks for a number).
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/edge
ENV PATH=/opt/edge/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /var/lib/edge
STOPSIGNAL SIGTERM
# The health file lies in memory, where it wears no disk.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["edge", "health", "/dev/shm/edge-health.json"]
ENTRYPOINT ["edge"]
CMD ["run", "/var/lib/edge", "--health-file", "/dev/shm/edge-health.json", "--log-level", "info"]
