#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# setup.sh: makes .venv with the OpenHands SDK, in exactly the version the automation service names, so
# that what talks to the agent server is what the service was made for.  Runs before main.py, in the
# run's work folder.  Anything that fails here fails the run, with its reason on standard error.
set -euo pipefail

die() {
	echo "setup: $*" >&2
	exit 1
}

api=${AUTOMATION_API_URL:-}
[ -n "$api" ] || die "AUTOMATION_API_URL is not set: who says which SDK to install?"
command -v curl >/dev/null 2>&1 || command -v python3 >/dev/null 2>&1 || die "neither curl nor python3 is here"

# request METHOD URL [BODY]: the answer's body; fails unless it was a 2xx.  The key goes over standard
# input, so that no list of processes shows it.
request() {
	local key=${AUTOMATION_CALLBACK_API_KEY:-${OPENHANDS_API_KEY:-}}
	if command -v curl >/dev/null 2>&1; then
		{
			[ -z "$key" ] || printf 'header = "Authorization: Bearer %s"\n' "$key"
		} | curl -fsS --max-time 30 --retry 2 -K - -X "$1" ${3:+-H "Content-Type: application/json" -d "$3"} "$2"
	else
		printf '%s' "$key" | python3 -c '
import sys, urllib.request
key = sys.stdin.read()
method, url = sys.argv[1:3]
body = sys.argv[3].encode() if len(sys.argv) > 3 else None
request = urllib.request.Request(url, data=body, method=method)
if body:
    request.add_header("Content-Type", "application/json")
if key:
    request.add_header("Authorization", "Bearer " + key)
sys.stdout.write(urllib.request.urlopen(request, timeout=30).read().decode())
' "$@"
	fi
}

answer=$(request GET "$api/sdk-version") || die "$api/sdk-version does not say which SDK to install"
version=$(printf '%s' "$answer" | sed -n 's/.*"version"[[:space:]]*:[[:space:]]*"\([0-9A-Za-z.+!-]*\)".*/\1/p')
[ -n "$version" ] || die "$api/sdk-version names no version: $answer"

# Whoever watches may know; that nobody could be told is no reason to stop.
if [ -n "${AUTOMATION_PHASE_URL:-}" ]; then
	request POST "$AUTOMATION_PHASE_URL" '{"phase":"Installing dependencies"}' >/dev/null 2>&1 || true
fi

uv=$(command -v uv || true)
if [ -z "$uv" ] && [ -x "${HOME:-/root}/.local/bin/uv" ]; then
	uv=${HOME:-/root}/.local/bin/uv
fi
if [ -z "$uv" ]; then
	echo "setup: installing uv"
	python3 -m venv .uv || die "uv is not here, and python3 makes no environment to install it in"
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv || die "uv cannot be installed"
	uv=.uv/bin/uv
fi

echo "setup: installing the OpenHands SDK $version"
"$uv" venv --quiet --python '>=3.12,<3.14' .venv || die "no CPython 3.12 or 3.13 could be had"
"$uv" pip install --quiet --python .venv/bin/python \
	"openhands-sdk==$version" "openhands-tools==$version" "openhands-workspace==$version" ||
	die "the OpenHands SDK $version cannot be installed"
OPENHANDS_SUPPRESS_BANNER=1 LITELLM_LOCAL_MODEL_COST_MAP=True .venv/bin/python -c \
	'import openhands.sdk, openhands.tools.preset.default, openhands.workspace' ||
	die "the OpenHands SDK $version is installed, but cannot be imported"
