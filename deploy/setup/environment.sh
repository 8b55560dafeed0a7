#!/usr/bin/env bash
# Makes .venv hold exactly what the locks say: `environment.sh runtime` or `environment.sh dev`.
# A stamp of everything it depends on makes a second run instant and free of the network.
set -euo pipefail
cd "$(dirname "$0")/../.."

kind=${1:?runtime or dev}
case $kind in
    runtime) locks=(requirements.lock) ;;
    dev) locks=(requirements-dev.lock) ;;
    *) echo "environment.sh: runtime or dev, not '$kind'" >&2; exit 2 ;;
esac

# Settings of pip that would lead it out of .venv, or refuse our own package; where it finds packages stays as configured.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE PIP_NO_BINARY \
    PIP_ONLY_BINARY PIP_UPGRADE PIP_PYTHON PIP_DRY_RUN
export PIP_USER=0 PIP_REQUIRE_HASHES=0 PIP_REQUIRE_VIRTUALENV=0 PIP_NO_DEPS=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

stamp=.venv/.setup-$kind
# The folder is part of it: an environment that was moved or copied does not work.
# What is compiled is compiled again when it changed, and when there is a compiler now that was missing.
compiled() { cat ecosystem/_pages.c; command -v gcc cc || true; ls /usr/include/python3*/Python.h 2>/dev/null || true; }
state=$( { pwd; cat "${locks[@]}" deploy/setup/build.lock pyproject.toml "$0" deploy/setup/system-packages.sh; compiled; } | cksum)
if [ "$kind" = runtime ] && [ -f .venv/.setup-dev ]; then
    # The development lock holds everything the other one does, in the same versions.
    stamp=.venv/.setup-dev
    state=$( { pwd; cat requirements-dev.lock deploy/setup/build.lock pyproject.toml "$0" deploy/setup/system-packages.sh; compiled; } | cksum)
    kind=dev locks=(requirements-dev.lock)
fi
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && .venv/bin/python -c "" 2>/dev/null && [ -x .venv/bin/zapvisor ]; then
    exit 0
fi

suitable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3 python; do
        if suitable "$name"; then
            # The interpreter itself, not a version manager's shim that may point elsewhere tomorrow.
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    cat >&2 <<'TEXT'
Zapvisor needs Python 3.11 or newer with its venv module, and there is none on the PATH.
  Debian 12, Ubuntu 24.04:  apt-get install python3 python3-venv
  elsewhere:                https://www.python.org/downloads/ or your system's packages
A Python that is not on the PATH can be named:  make setup PYTHON=/path/to/python3.11
TEXT
    return 1
}

if [ ! -w . ]; then
    echo "Zapvisor: $(pwd) is not writable for $(id -un); .venv has to be made there" >&2
    exit 1
fi
deploy/setup/system-packages.sh "$kind"

rm -f .venv/.setup-runtime .venv/.setup-dev
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    [ "$(cat .venv/.folder 2>/dev/null)" != "$(pwd)" ]; then
    python=$(find_python)
    echo "making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
    pwd >.venv/.folder
fi

echo "installing ${locks[*]}"
pip=(.venv/bin/python -m pip install --quiet --no-warn-script-location)
"${pip[@]}" --require-hashes -r deploy/setup/build.lock
# What there is no wheel of is built with the setuptools just installed, not with whatever the network has today.
"${pip[@]}" --require-hashes --no-deps --no-build-isolation --use-pep517 "${locks[@]/#/-r}"
PYTHONWARNINGS=ignore "${pip[@]}" --no-deps --no-build-isolation --no-index -e .
.venv/bin/python -c 'import sys; from ecosystem import pages; sys.exit(pages.library() is None)' || cat >&2 <<'TEXT'
note: ecosystem/_pages.c could not be compiled. Everything works without it, but each session takes about 4 MB more.
  Debian, Ubuntu: sudo apt-get install gcc python3-dev     then: make setup
TEXT
.venv/bin/python -m pip check --quiet || { .venv/bin/python -m pip check; exit 1; }
echo "$state" >"$stamp"
echo "ready: .venv/bin/zapvisor"
