#!/usr/bin/env bash
# What Zapvisor needs from the system: libmagic (the WhatsApp library loads it), ffmpeg (audio and video), and, for root,
# an unprivileged user, because PostgreSQL refuses to run as root. Root on Debian or Ubuntu gets them installed;
# anybody else is told what to do. Ends with 1 only where Zapvisor could not run at all.
# `system-packages.sh dev` also brings what the tests drive as a person would: the shells whose completion is tested, tmux,
# Chromium, which looks at the pages, and Node and PHP, which run the snippets of the guides.
set -euo pipefail

has_libmagic() {
    local known
    # Not `ldconfig -p | grep -q`: grep leaves at the first match, and the broken pipe then counts as a failure.
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) || known=
    [[ $known == *libmagic.so* ]] ||
        python3 -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("magic"))' 2>/dev/null
}
has_ffmpeg() { command -v ffmpeg >/dev/null 2>&1; }

missing=()
has_libmagic || missing+=(libmagic1)
has_ffmpeg || missing+=(ffmpeg)
if [ "${1:-runtime}" = dev ]; then
    for tool in zsh fish tmux chromium; do
        command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
    done
    # The guide verifies a webhook's signature in three languages; the tests run each.
    command -v node >/dev/null 2>&1 || missing+=(nodejs)
    command -v php >/dev/null 2>&1 || missing+=(php-cli)
fi

if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 && [ -z "${ZAPVISOR_NO_APT:-}" ]; then
    echo "installing ${missing[*]} with apt-get"
    install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null; }
    # The package lists of a fresh image may be absent or stale: one more try after renewing them.
    install "${missing[@]}" 2>/dev/null || { apt-get update -qq </dev/null >/dev/null && install "${missing[@]}"; } ||
        echo "apt-get could not install ${missing[*]}" >&2
fi

if [ "$(id -u)" -eq 0 ] && ! getent passwd zapvisor >/dev/null; then
    if command -v useradd >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin zapvisor
        echo "made the system user zapvisor (the embedded PostgreSQL and Redis run as it)"
    else
        echo "no useradd here: make a system user 'zapvisor' yourself, or set POSTGRES_USER or DATABASE_URL and REDIS_URL" >&2
    fi
fi

has_ffmpeg || cat >&2 <<'TEXT'
note: ffmpeg is missing. Text works without it; voice notes and video need it.
  Debian, Ubuntu: sudo apt-get install ffmpeg     Alpine: apk add ffmpeg     Fedora: dnf install ffmpeg-free
TEXT
if [ "${1:-runtime}" = dev ]; then
    for tool in zsh fish tmux chromium; do
        command -v "$tool" >/dev/null 2>&1 || echo "note: $tool is missing, which the tests drive: install the package $tool" >&2
    done
fi
has_libmagic || {
    cat >&2 <<'TEXT'
error: libmagic is missing, and the WhatsApp library cannot be loaded without it.
  Debian, Ubuntu: sudo apt-get install libmagic1     Alpine: apk add libmagic     Fedora: dnf install file-libs
TEXT
    exit 1
}
