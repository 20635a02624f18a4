#!/usr/bin/env bash
# Build the wheel, install it in a fresh environment, and use it as a stranger does: from a folder of his own, in which
# `app/` and `model.py` are other things. Needs Python with venv, and an index to install from; removes what it made.
#
#   bash tests/project/check_wheel.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
export PIP_QUIET=2 PIP_DISABLE_PIP_VERSION_CHECK=1 ORT_DISABLE_TELEMETRY=1
unset PYTHONPATH CAPSNET_MODELS CAPSNET_SERVER CAPSNET_API_KEY

say() { printf -- '--- %s\n' "$*"; }

say "build"
# A copy, so that no stale build/ folder gets into the wheel and none is left behind.
mkdir "$work/source"
tar -c --exclude=__pycache__ app artifacts/mnist capsnet LICENSE README.md pyproject.toml | tar -x -C "$work/source"
"${PYTHON:-python3}" -m venv "$work/venv"
bin=$work/venv/bin
"$bin/pip" wheel --no-deps --wheel-dir "$work/dist" "$work/source"
wheel=$(ls "$work"/dist/*.whl)
ls -l "$wheel"
tops=$("$bin/python" -m zipfile -l "$wheel" | awk 'NR > 1 { split($1, part, "/"); print part[1] }' | sort -u | tr '\n' ' ')
case $tops in "capsnet capsnet_service-"*".dist-info ") ;; *) echo "the wheel holds $tops" >&2; exit 1 ;; esac

mkdir -p "$work/own/app"
cd "$work/own"
echo 'raise RuntimeError("this app is not the service")' | tee app/__init__.py app/main.py model.py training.py >/dev/null
cp "$root/docs/images/seven.png" .

say "install [cpu]"
"$bin/pip" install "$wheel[cpu]"
du -sh "$work/venv/lib" | cut -f1
for name in app model training torch fastapi; do
  ! (cd / && "$bin/python" -c "import $name" 2>/dev/null) || { echo "$name can be imported" >&2; exit 1; }
done
"$bin/python" - <<'PYTHON'
from capsnet import load

model = load("mnist")
found = model("seven.png")
print(model, found.label, f"{found.length:.3f}", found.reconstruction)
assert found.label == "7" and found.reconstruction.accepted
assert "<img" in found._repr_html_()
assert model.reconstruct("seven.png", dim=3, delta=0.1).perturbed.pixels().shape == (28, 28)
assert model.sweep("seven.png", dims=[0, 3], steps=3).sheet().pixels().shape == (56, 84)
PYTHON

if "$bin/capsnet" serve 2>serve.txt; then echo "it serves without the service" >&2; exit 1; fi
grep -F "install the wheel again with [serve] after its name" serve.txt

say "install [cpu,serve]"
"$bin/pip" install "$wheel[cpu,serve]"
for workers in 1 2; do
  port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$bin/capsnet" serve --port "$port" --workers $workers 2>"log-$workers.txt" &
  server=$!
  "$bin/python" "$root/tests/docker/check_service.py" "http://127.0.0.1:$port" 60 || { cat "log-$workers.txt"; exit 1; }
  "$bin/capsnet" classify seven.png --server "http://127.0.0.1:$port" --format csv | cut -d, -f1-4
  "$bin/python" - "$port" <<'PYTHON'
import sys
from urllib.request import urlopen

for path, word in (("/", "<canvas"), ("/docs", "swagger"), ("/static/js/main.js", "import"), ("/metrics", "capsnet_")):
    with urlopen(f"http://127.0.0.1:{sys.argv[1]}{path}") as answer:
        assert word in answer.read().decode(), path
PYTHON
  kill "$server"
  status=0
  wait "$server" || status=$?
  server=
  # uvicorn ends in order and then by the signal that it was sent: 128 + 15.
  case $status in 0 | 143) ;; *) echo "it ended with status $status" >&2; cat "log-$workers.txt"; exit 1 ;; esac
done
say "the notebook"
"$bin/pip" install ipykernel nbclient
cp "$root/docs/notebooks/capsules.ipynb" .
"$bin/python" - <<'PYTHON'
import re

import nbformat
from nbclient import NotebookClient


def words(notebook):
    """Return what each cell prints or shows as HTML, without tags, bars and numbers; and the number of images."""
    shown, images = [], 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = output.get("text", "") + re.sub("<[^>]*>", " ", data.get("text/html", ""))
            shown.append(re.sub(r"-?\d+(?:\.\d*)?", "#", text.replace("\u2588", "")).split())
            images += data.get("text/html", "").count("<img") or "image/png" in data
    return shown, images


kept, again = (nbformat.read("capsules.ipynb", as_version=4) for _ in range(2))
NotebookClient(again, timeout=120).execute()
assert words(again) == words(kept)
assert any("refused" in shown for shown in words(again)[0])
print(len(again.cells), "cells,", words(again)[1], "images, as they are kept")
PYTHON

say "the wheel works: $(basename "$wheel"), $SECONDS s"
