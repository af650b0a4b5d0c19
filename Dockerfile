# One image for every process; compose.yaml says which one a container runs.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/metachat
COPY requirements.lock ./
RUN /opt/metachat/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY protos protos
COPY services services
RUN /opt/metachat/bin/pip install --no-cache-dir --no-deps --no-build-isolation ./protos .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home metachat
COPY --from=build /opt/metachat /opt/metachat
ENV PATH=/opt/metachat/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER metachat
EXPOSE 8080 8081 8090 50050 50051 50052
STOPSIGNAL SIGTERM
CMD ["python", "-m", "services.gateway"]
