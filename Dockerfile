# Two images from one file: `edge` (streaming, simulator, monitoring: no torch) and `learner` (feature store,
# trainer, serving). Everything is locked with hashes; nothing runs as root.
FROM python:3.11-slim-bookworm AS base
RUN useradd --uid 10001 --create-home springtide \
 && mkdir -p /app /state \
 && chown springtide /state \
 && python3 -m venv /venv
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY requirements/bootstrap.txt requirements/
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/bootstrap.txt

FROM base AS edge
COPY requirements/edge.txt requirements/
RUN uv pip install --no-cache --compile-bytecode --no-deps --require-hashes -r requirements/edge.txt
COPY config config
COPY springtide springtide
COPY streaming streaming
COPY simulator simulator
COPY monitoring monitoring
COPY local_stack local_stack
USER springtide
VOLUME /state

FROM base AS learner
COPY requirements/learner.txt requirements/
RUN uv pip install --no-cache --compile-bytecode --no-deps --require-hashes -r requirements/learner.txt
COPY config config
COPY springtide springtide
COPY feature_store feature_store
COPY trainer trainer
COPY serving serving
USER springtide
VOLUME /state
