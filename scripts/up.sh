#!/usr/bin/env bash
# `make up`: starts a worker in DIR, deploys the examples of test/lambdas, and prints the answer of an example with a
# third-party package. Without a reachable package index, the project's own mirror serves its packages.
#
#   up.sh DIR      starts, deploys, invokes
#   up.sh -s DIR   stops worker and mirror
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ol=$root/bin/ol

stop_mirror() {
  local pid
  [ -e "$dir.mirror" ] || return 0
  pid=$(head -1 "$dir.mirror")
  # The pid may belong to another process by now.
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'packages-mirror/main.js'; then kill "$pid"; fi
  rm -f "$dir.mirror" "$dir.mirror.url"
}

if [ "$1" = -s ]; then
  dir=$(realpath -m "$2")
  [ ! -d "$dir" ] || "$ol" worker down -p "$dir"
  stop_mirror
  exit 0
fi
dir=$(realpath -m "$1")

# What a function's requirements need: `none`, `mirror` (the project's own packages) or `index` (any other package).
needs() {
  local file=$1/requirements.txt
  if [ ! -e "$file" ]; then echo none
  elif grep -Evq '^[[:space:]]*(#|$|argyle-sample-)' "$file"; then echo index
  else echo mirror
  fi
}

index_reached() {
  local probe status=0
  probe=$(mktemp -d)
  timeout 20 /usr/bin/python3 -m pip download -q --no-deps --no-cache-dir --retries 0 --timeout 5 -d "$probe" \
    idna==3.10 >/dev/null 2>&1 || status=$?
  rm -rf "$probe"
  return "$status"
}

# Starts the mirror on a free port of the loopback address and prints its address.
start_mirror() {
  local tries
  setsid node "$root/build/packages-mirror/main.js" >"$dir.mirror.url" 2>&1 </dev/null &
  echo $! >"$dir.mirror"
  for ((tries = 0; tries < 300; tries++)); do
    if grep -qm1 '^http' "$dir.mirror.url"; then head -1 "$dir.mirror.url" && return; fi
    sleep 0.1
  done
  echo 'up.sh: the package mirror did not start' >&2
  return 1
}

set_mirror() {
  node -e '
    const fs = require("node:fs");
    const [file, url] = process.argv.slice(1);
    const config = { ...JSON.parse(fs.readFileSync(file, "utf8")), pip_mirror: url };
    // The default tree names packages of the public index; the mirror has its own.
    const samples = ["cost", "frame", "numeric", "text", "tiny"].map((name) => "argyle-sample-" + name);
    if (url) config.import_cache_tree = { packages: [], children: [{ packages: samples, children: [] }] };
    fs.writeFileSync(file, JSON.stringify(config, null, 2) + "\n");
  ' "$dir/config.json" "$1"
}

mkdir -p "$(dirname "$dir")"
[ ! -d "$dir" ] || "$ol" worker down -p "$dir" >/dev/null
stop_mirror
[ -e "$dir/config.json" ] || "$ol" worker init -p "$dir"
if index_reached; then
  source=index shown=numpy
  set_mirror ''
else
  source=mirror shown=tables
  echo 'No package index is reached: using the packages of packages-mirror/'
  set_mirror "$(start_mirror)"
fi
"$ol" worker up -d -p "$dir"
left_out=
for example in "$root"/test/lambdas/*/; do
  [ "$(basename "$example")" != bad ] || continue # these examples fail on purpose
  case $(needs "$example") in
    none | "$source") timeout 60 "$ol" admin install -p "$dir" "${example%/}" ;;
    *) left_out+=" $(basename "$example")" ;;
  esac
done
[ -z "$left_out" ] || echo "Left out, as their packages are not in the $source:$left_out"
port=$(node -p 'JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")).worker_port' "$dir/config.json")

# The first call uses any available kind of start. Meanwhile a zygote with the package is made, for later calls.
answer=
for ((tries = 0; tries < 60; tries++)); do
  answer=$(curl --silent --show-error --fail-with-body --max-time 300 --data '{}' "http://localhost:$port/run/$shown")
  ! grep -q '"from_zygote": true' <<<"$answer" || break
  sleep 0.5
done
printf '\nPOST http://localhost:%s/run/%s\n%s\n' "$port" "$shown" "$answer"
grep -q '"from_zygote": true' <<<"$answer" || { echo 'up.sh: no zygote with the package came up' >&2; exit 1; }
