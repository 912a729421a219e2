# Portico in a container.
#
#   docker build -t portico .
#   docker run -p 1883:1883 -v portico:/data -v ./portico.yaml:/etc/portico/portico.yaml:ro portico
#
# The image listens on every address of the container, because nobody reaches the loopback of a container. It therefore
# refuses to start, and says why, until you decide who may connect: either mount a password file
#   -v ./passwords:/etc/portico/passwords:ro -e PORTICO_ACCESS_PASSWORD_FILE=/etc/portico/passwords
# or let anyone in who reaches it
#   -e PORTICO_ALLOW_ANONYMOUS=true
# Any option can be set with a PORTICO_* variable (docs/options.md). The process runs as any user (--user) and on a
# read-only root (--read-only); it writes to /data and nowhere else.

FROM node:24-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
WORKDIR /portico
COPY package.json package-lock.json .npmrc ./
RUN npm ci --include=dev
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
WORKDIR /portico
COPY --from=build /portico/package.json ./
COPY --from=build /portico/node_modules ./node_modules
COPY --from=build /portico/dist ./dist
COPY LICENSE ./
# `docker exec NAME portico backup -` finds it, too.
RUN chmod 755 dist/src/main.js && ln -s /portico/dist/src/main.js /usr/local/bin/portico
# Any user may write to /data, as nobody knows yet which one it will be. A mounted folder brings its own rights.
RUN mkdir -p /etc/portico && mkdir -m 1777 /data && printf '%s\n' \
    'listeners:' \
    '  - { type: mqtt, host: 0.0.0.0 }' \
    '  - { type: websocket, host: 0.0.0.0 }' \
    '  - { type: coap, host: 0.0.0.0 }' \
    'data_dir: /data' \
    > /etc/portico/portico.yaml
ENV NODE_ENV=production PORTICO_CONFIG=/etc/portico/portico.yaml PORTICO_DATA_DIR=/data
USER node
VOLUME /data
EXPOSE 1883/tcp 8883/tcp 9001/tcp 9443/tcp 9883/tcp 5683/udp 5683/tcp 5684/udp 5684/tcp
# Without a shell in between, so that signals reach the broker: docker stop ends it cleanly.
ENTRYPOINT ["portico"]
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["portico", "health"]
