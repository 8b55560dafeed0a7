#!/usr/bin/env bash
# Renews requirements.lock, requirements-dev.lock and deploy/setup/build.lock from pyproject.toml. More arguments go to
# pip-compile, for example --upgrade or --upgrade-package aiohttp.
#
# Run it with the oldest Python that is supported, 3.11.2 of Debian 12: some packages ask for a later 3.11, and others need a
# companion only below 3.11.3. What is locked for the oldest installs on all newer ones.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Not a whole set-up: that would refuse a pyproject.toml whose lock is still to be written.
[ -x .venv/bin/pip-compile ] || deploy/setup/environment.sh dev
.venv/bin/python -c 'import sys; sys.exit(sys.version_info[:3] > (3, 11, 2))' ||
    echo "note: .venv is newer than Python 3.11.2; the locks may then not install there (make clean; make lock PYTHON=/usr/bin/python3.11)" >&2
compile=(.venv/bin/python -m piptools compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links
    --no-emit-trusted-host)
"${compile[@]}" "$@" --extra dev --allow-unsafe --output-file requirements-dev.lock pyproject.toml
"${compile[@]}" "$@" --output-file requirements.lock pyproject.toml
{
    echo "# What the project itself is built with. Same pin and hashes as in requirements-dev.lock (\`make lock\` renews both)."
    awk '/^[^ #]/ { wanted = /^setuptools==/ } wanted && !/^ *#/' requirements-dev.lock
} >deploy/setup/build.lock
