# The executable of `npm run build` and nothing else: docker build -t chronik .
FROM debian:12-slim
RUN install -d -o 10001 -g 10001 /data
COPY dist/chronik-server /usr/local/bin/chronik-server
USER 10001:10001
VOLUME /data
ENV CHRONIK_DATA_DIR=/data CHRONIK_BIND_ADDR=0.0.0.0
EXPOSE 9092 6092
ENTRYPOINT ["chronik-server"]
