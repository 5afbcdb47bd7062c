#!/usr/bin/env bash
# Runs tests in the cgroup v2 guest. Leaves jest's report in OUT/report.json and the kind of guest in OUT/machine. By
# default those of single sandboxes and of limits, whose subject is the kernel's side, and where the guest runs at the
# processor's speed also the attacks, the tenants and the network. Not test/e2e/escape/syscalls: it reads filters back
# from the kernel, which User Mode Linux cannot (CONFIG_CHECKPOINT_RESTORE), and they do not depend on cgroups.
#
#   suite.sh OUT [JEST ARGS...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$(realpath -m "$1") && shift
mkdir -p "$out"
rm -f "$out/report.json" "$out/machine"
ARGYLE_VM_MACHINE=$("$here/run-vm.sh" --which 2>"$out/machine.log") || { cat "$out/machine.log" >&2 && exit 125; }
export ARGYLE_VM_MACHINE
{ cat "$out/machine.log" && echo "the guest is $ARGYLE_VM_MACHINE"; } | tee "$out/machine"
if [ $# -eq 0 ]; then
  set -- test/integration/sandbox test/e2e/worker/limits
  [ "$ARGYLE_VM_MACHINE" != uml ] || set -- "$@" test/e2e/escape/escape test/e2e/tenants test/e2e/network
fi
# The guest is slow, most of all an emulated one: tests read ARGYLE_VM and stretch their limits.
exec "$here/run-vm.sh" --share "$out" --timeout "${ARGYLE_VM_TIMEOUT_SEC:-1500}" -- \
  env --chdir="$root" ARGYLE_VM=1 ARGYLE_MUST_WORK="${ARGYLE_MUST_WORK:-}" \
  /usr/bin/env node node_modules/jest/bin/jest.js --runInBand --forceExit --json --outputFile "$out/report.json" \
  --passWithNoTests --testTimeout 120000 "$@"
