#!/usr/bin/env bash
# Runs tests in the cgroup v2 guest and leaves jest's report in OUT/report.json: by default those of single sandboxes
# and of limits, whose subject is the kernel's side. Others can be named; they take minutes each in the emulator.
#
#   suite.sh OUT [JEST ARGS...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$(realpath -m "$1") && shift
mkdir -p "$out"
rm -f "$out/report.json"
[ $# -gt 0 ] || set -- test/integration/sandbox test/e2e/worker/limits
# The guest is software-emulated, about ten times slower: tests read ARGYLE_VM and stretch their limits.
exec "$here/run-vm.sh" --share "$out" --timeout "${ARGYLE_VM_TIMEOUT_SEC:-1500}" -- \
  env --chdir="$root" ARGYLE_VM=1 ARGYLE_MUST_WORK="${ARGYLE_MUST_WORK:-}" \
  /usr/bin/env node node_modules/jest/bin/jest.js --runInBand --json --outputFile "$out/report.json" \
  --passWithNoTests --testTimeout 120000 "$@"
