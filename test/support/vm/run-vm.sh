#!/usr/bin/env bash
# Runs a command in a disposable guest whose only cgroup hierarchy is v2. The guest sees this machine's files read-only,
# under an overlay in memory. Exits with the command's status, 125 when the guest itself failed, 124 after a time-out.
#
#   run-vm.sh [--share DIR] [--timeout SEC] [--memory MB] [--cpus N] -- COMMAND [ARG...]
#   run-vm.sh --which
#
# --share DIR is writable and has the same path in the guest. --which prints the kind of guest on this machine: `uml`
# (User Mode Linux) if it boots, else `qemu` in software emulation (without KVM). ARGYLE_VM_MACHINE overrides the kind.
# ARGYLE_VM_SUITE is the Debian suite of the User Mode Linux package; empty for the installed package. Files made from
# the kernel packages are cached in ${ARGYLE_VM_CACHE:-~/.cache/argyle-vm}.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${ARGYLE_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/argyle-vm}
share='' timeout_sec=600 memory_mb=3072 cpus=2 only_which=''

die() {
  echo "run-vm.sh: $*" >&2
  exit 125
}

# shellcheck source=machine-uml.sh
. "$here/machine-uml.sh"
# shellcheck source=machine-qemu.sh
. "$here/machine-qemu.sh"

while [ $# -gt 0 ]; do
  case $1 in
    --share) share=$(realpath "$2") && shift 2 ;;
    --timeout) timeout_sec=$2 && shift 2 ;;
    --memory) memory_mb=$2 && shift 2 ;;
    --cpus) cpus=$2 && shift 2 ;;
    --which) only_which=1 && shift ;;
    --) shift && break ;;
    *) die "unknown option '$1'" ;;
  esac
done
[ $# -gt 0 ] || [ -n "$only_which" ] || die 'no command given'

# Packs a directory in the kernel's initrd format. Several packed trees can be concatenated.
pack() { (cd "$1" && find . -print0 | cpio --null -o -H newc --quiet -R 0:0 | gzip -1); }

# prepare MACHINE: makes $cache/MACHINE/kernel and /initrd, unless they are current. False when no kernel is available.
prepare() {
  local machine=$1 work stamp module
  stamp=$( (cat "$here/guest-init.sh" "$here/modules-$machine.txt" && "${machine}_stamp") | sha256sum | cut -c1-16)
  [ "$(cat "$cache/$machine/stamp" 2>/dev/null)" = "$stamp" ] && return
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/make.XXXXXX")
  if make_machine "$machine" "$work"; then
    rm -rf "${cache:?}/$machine"
    mv "$work/made" "$cache/$machine"
    echo "$stamp" >"$cache/$machine/stamp"
  fi
  rm -rf "$work"
}

# make_machine MACHINE WORK: makes WORK/made.
make_machine() (
  machine=$1
  cd "$2"
  chmod 755 .
  "${machine}_kernel" || return
  mkdir -p tree/bin tree/modules tree/proc tree/sys tree/dev tree/host-root tree/layer tree/root-overlay made
  cp "$(command -v busybox)" tree/bin/busybox
  install -m 755 "$here/guest-init.sh" tree/init
  echo "$machine" >tree/machine
  touch tree/modules/order
  while read -r module; do
    # A missing module is built into the kernel.
    [ -e "modules/$module" ] || [ -e "modules/$module.xz" ] || continue
    cp "modules/$module"* tree/modules/
    basename "$module" >>tree/modules/order
  done <"$here/modules-$machine.txt"
  find tree/modules -name '*.xz' -exec xz -d {} +
  pack tree >made/initrd
  mv kernel made/
)

# run_guest MACHINE RUN_DIR COMMAND...: runs the command; RUN_DIR is empty. Returns the command's status, 124 or 125.
run_guest() {
  local machine=$1 run_dir=$2 status=0
  shift 2
  mkdir "$run_dir/tree"
  { printf 'exec'; printf ' %q' "$@"; echo; } >"$run_dir/tree/command"
  printf '%s' "$share" >"$run_dir/tree/share"
  { cat "$cache/$machine/initrd"; pack "$run_dir/tree"; } >"$run_dir/initrd"
  : >"$run_dir/status"
  ("${machine}_boot" "$run_dir") </dev/null | sed -u 's,\r,,g' || status=${PIPESTATUS[0]}
  [ "$status" -ne 124 ] || { echo "run-vm.sh: time ran out after $timeout_sec s" >&2 && return 124; }
  status=$(tr -dc '0-9' <"$run_dir/status")
  return "${status:-125}"
}

# Sets `machine` to a kind of guest that is ready to run.
choose_machine() {
  local why
  machine=${ARGYLE_VM_MACHINE:-}
  case $machine in
    '' | uml) ;;
    qemu) qemu_ready && prepare qemu && return ;;
    *) die "ARGYLE_VM_MACHINE is '$machine': neither uml nor qemu" ;;
  esac
  uml_ready
  prepare uml
  why=$(uml_obstacle)
  [ -n "$why" ] || { machine=uml && return; }
  [ -z "$machine" ] || die "User Mode Linux: $why"
  echo "run-vm.sh: qemu in software emulation, for User Mode Linux: $why" >&2
  machine=qemu
  qemu_ready
  prepare qemu
}

choose_machine
[ -z "$only_which" ] || { echo "$machine" && exit; }
run_dir=$(mktemp -d)
trap 'rm -rf "$run_dir"' EXIT
run_guest "$machine" "$run_dir" "$@"
