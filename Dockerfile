# chattor-bridge in a container, and with --entrypoint chattor a node or a mailbox; docker-compose.yml has both.
# Build: docker build -t chattor-bridge .
# Debian 12 keeps its tor new enough; the bridge refuses one that is not and says so.
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/chattor && /opt/chattor/bin/pip install --no-cache-dir /source

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 tor obfs4proxy \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin chattor \
    && install -d -m 0700 -o chattor -g chattor /data
COPY --from=build /opt/chattor /opt/chattor
ENV PATH=/opt/chattor/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CHATTOR_CONFIG=/data/config.yaml \
    CHATTOR_HOME=/data/chattor
USER chattor
WORKDIR /data
VOLUME /data
EXPOSE 29390
# The bridge stops in order on SIGTERM; the longest step of that is bounded by 15 seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["chattor-bridge"]
CMD ["run"]
