#!/usr/bin/env bash
# Build docker-compose.yml, start it, wait until it is healthy, ask it for an answer, and take it down.
#
# SMOKE_SCRIPT brings a container engine of its own to a bare Debian machine; where it does not exist, the engine that
# is there is used. Exit status 75: neither can run here.
set -euo pipefail
cd "$(dirname "$0")/../.."
SMOKE_SCRIPT=${SMOKE_SCRIPT:-../shared/tools/compose_smoke.sh}

if [ -f "$SMOKE_SCRIPT" ]; then
  url=http://127.0.0.1:8000  # inside the container's own network
  export SMOKE_EXEC="curl -fsS -F 'file=@$PWD/docs/images/seven.png' $url/classify && echo &&
    python3 '$PWD/tests/docker/check_service.py' $url"
  exec bash "$SMOKE_SCRIPT" . tests/docker/smoke.override.yml api "$url/health/ready"
fi

if ! docker compose version >/dev/null 2>&1 || ! docker info >/dev/null 2>&1; then
  echo "smoke: neither $SMOKE_SCRIPT nor a running Docker engine with its compose plugin was found" >&2
  exit 75
fi
export COMPOSE_PROJECT_NAME=capsnet-smoke CAPSNET_PORT=${CAPSNET_PORT:-18000}
trap 'docker compose down --volumes --timeout 5' EXIT
docker compose config --quiet
docker compose up --build --detach --wait --wait-timeout 120 api
python3 tests/docker/check_service.py "http://127.0.0.1:$CAPSNET_PORT"
