#!/bin/sh
# The walk with curl. $1: where the service is; $2: where the other end's gates are.
set -eu
base=$1 gates=$2
ask() { curl --silent --show-error --fail --no-buffer --max-time 20 "$@"; }

# The body as it comes; on its first piece the gate to the second is opened.
gated() {
    ask "$base/$1" | {
        IFS= read -r first
        ask "$gates/open/$1" >/dev/null
        printf '%s|' "$first"
        cat | tr -d '\n'
    }
}

printf '{"hello": "%s",' "$(ask "$base/hello")"
printf ' "flaky": "%s",' "$(ask --output /dev/null --write-out '%{http_code} %header{x-sidecar-attempts}' "$base/flaky")"
printf ' "echo": "%s",' "$(ask --data 'amount=1' --header 'Content-Type: text/plain' "$base/echo")"
printf ' "upload": "%s",' "$({ printf one; ask "$gates/arrived/3" >/dev/null; printf two; } | ask --request POST --upload-file - "$base/upload")"
printf ' "download": "%s",' "$(gated download)"
printf ' "events": "%s"}\n' "$(gated events)"
