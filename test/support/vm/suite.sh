#!/usr/bin/env bash
# Runs tests in the cgroup v2 guest. Writes jest's report to OUT/report.json and the kind of guest to OUT/machine. By
# default, runs the tests of single sandboxes and of limits, which depend on the kernel. A guest at native CPU speed
# also runs the tests of attacks, system calls, tenants and the network.
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
  [ "$ARGYLE_VM_MACHINE" != uml ] || set -- "$@" test/e2e/escape test/e2e/tenants test/e2e/network
fi
# The guest is slow, above all an emulated one, so tests read ARGYLE_VM and extend their time limits. A run takes 7 min,
# or 9 min beside other load. A guest that does not end in time is started once more: User Mode Linux has stopped during
# a run, for an unknown reason. The output then names the test.
for attempt in 1 2; do
  status=0
  "$here/run-vm.sh" --share "$out" --timeout "${ARGYLE_VM_TIMEOUT_SEC:-750}" -- \
    env --chdir="$root" ARGYLE_VM=1 ARGYLE_MUST_WORK="${ARGYLE_MUST_WORK:-}" \
    /usr/bin/env node node_modules/jest/bin/jest.js --runInBand --forceExit --json --outputFile "$out/report.json" \
    --reporters=default --reporters="$here/progress.js" --passWithNoTests --testTimeout 120000 "$@" || status=$?
  [ "$status" -eq 124 ] && [ "$attempt" -eq 1 ] || exit "$status"
  echo "the guest did not end in time, and is started once more" | tee -a "$out/machine"
done
