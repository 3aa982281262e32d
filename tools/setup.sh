#!/bin/sh
# First step on a bare machine: Python, uv from the package index, and .venv exactly as uv.lock says.
# usage: tools/setup.sh [--dev]    Does nothing when all is current. TAILSPAN_HOME as in tools/paths.py.
set -eu
cd "$(dirname "$0")/.."
home=${TAILSPAN_HOME:-$HOME/.cache/tailspan}
uv_version=0.13.9
groups=--no-dev
[ "${1:-}" != --dev ] || groups=--dev

wanted=$(cat uv.lock tools/setup.sh | sha256sum | cut -c1-16)
stamp=.venv/.tailspan
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ -x "$home/uv/bin/uv" ]; then
    read -r have have_groups <"$stamp"
    # An environment with the developers' tools is good for users too.
    if [ "$have" = "$wanted" ] && { [ "$have_groups" = "$groups" ] || [ "$have_groups" = --dev ]; }; then exit 0; fi
fi

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
        "$candidate" -c 'import sys; print(sys.executable)'
        return 0
    done
    return 1
}

if ! python=$(find_python); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing Debian packages: python3 python3-venv"
        mkdir -p "$home/logs"
        if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            python3 python3-venv; } >"$home/logs/python.log" 2>&1 </dev/null; then
            tail -n 15 "$home/logs/python.log" >&2
            echo "error: apt-get could not install python3 and python3-venv (log: $home/logs/python.log)" >&2
            exit 1
        fi
    fi
    python=$(find_python) || {
        echo "error: no Python 3.11, 3.12 or 3.13 with its venv module found. Install one (on Debian:" \
            "apt-get install python3 python3-venv) and run this again." >&2
        exit 1
    }
fi

if [ "$("$home/uv/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    echo "installing uv $uv_version"
    mkdir -p "$home"
    "$python" -m venv --clear "$home/uv"
    "$home/uv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

echo "installing the Python packages of uv.lock into .venv"
# --inexact: packages of the developers' group, if someone installed it, are left alone.
"$home/uv/bin/uv" sync --frozen --inexact --quiet --no-progress "$groups" --no-python-downloads --python "$python"
# Once and not at every start, of which a preview has seven. Without the clouds' SDKs, each as large as all the rest:
# who uses one loads, and so compiles, a small part of it.
.venv/bin/python -m compileall -q -j 0 -x 'pulumi_(aws|gcp)/|mypy|debugpy|/tests?/' .venv/lib/python*/site-packages \
    >/dev/null 2>&1 || true
echo "$wanted $groups" >"$stamp"
