#!/usr/bin/env bash
# Runs a command in a throw-away guest whose only cgroup hierarchy is v2. The guest sees this machine's files
# read-only, under a memory layer that is lost with it. Exits with the command's status, 125 when the guest itself
# failed, 124 when time ran out.
#
#   run-vm.sh [--share DIR] [--timeout SEC] [--memory MB] [--cpus N] -- COMMAND [ARG...]
#
# --share DIR stays writable and is the same directory inside. The kernel and the initial ramdisk are made once from
# Debian's packages and kept in ${ARGYLE_VM_CACHE:-~/.cache/argyle-vm}. Works without KVM (software emulation).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${ARGYLE_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/argyle-vm}
share='' timeout_sec=600 memory_mb=3072 cpus=2

die() {
  echo "run-vm.sh: $*" >&2
  exit 125
}

while [ $# -gt 0 ]; do
  case $1 in
    --share) share=$(realpath "$2") && shift 2 ;;
    --timeout) timeout_sec=$2 && shift 2 ;;
    --memory) memory_mb=$2 && shift 2 ;;
    --cpus) cpus=$2 && shift 2 ;;
    --) shift && break ;;
    *) die "unknown option '$1'" ;;
  esac
done
[ $# -gt 0 ] || die 'no command given'

need_tools() {
  local tool missing=()
  for tool in qemu-system-x86_64 busybox cpio; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} -eq 0 ] || die "missing ${missing[*]}: apt-get install qemu-system-x86 busybox-static cpio"
}

kernel_package() { apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }'; }

# Makes $cache/kernel and $cache/initrd from Debian's current kernel package.
prepare_cache() {
  local work package stamp
  stamp=$(cat "$here/guest-init.sh" "$here/modules.txt" "$here/unpack_kernel.py" | sha256sum | cut -c1-16)
  [ "$(cat "$cache/stamp" 2>/dev/null)" = "$stamp" ] && return
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/make.XXXXXX")
  (
    cd "$work"
    chmod 755 .
    package=$(kernel_package)
    # A machine that has just been made has no package lists yet.
    [ -n "$package" ] || { apt-get update -qq >&2 && package=$(kernel_package); }
    [ -n "$package" ] || die 'apt knows no linux-image-amd64'
    # The sandbox user of apt cannot write below a home directory.
    apt-get -o APT::Sandbox::User=root download -qq "$package" >&2
    dpkg-deb -x ./*.deb image
    python3 -I "$here/unpack_kernel.py" image/boot/vmlinuz-* kernel
    mkdir -p tree/bin tree/modules tree/proc tree/sys tree/dev tree/host-root tree/layer tree/root-overlay
    cp "$(command -v busybox)" tree/bin/busybox
    install -m 755 "$here/guest-init.sh" tree/init
    while read -r module; do
      cp image/lib/modules/*/kernel/"$module" tree/modules/
      basename "$module" >>tree/modules/order
    done <"$here/modules.txt"
    pack tree >initrd
    mv kernel initrd "$cache/"
  )
  rm -rf "$work"
  echo "$stamp" >"$cache/stamp"
}

# Packs a directory as the kernel wants its ramdisk; several packed trees can stand one behind the other.
pack() { (cd "$1" && find . -print0 | cpio --null -o -H newc --quiet -R 0:0 | gzip -1); }

need_tools
prepare_cache
run_dir=$(mktemp -d)
trap 'rm -rf "$run_dir"' EXIT
mkdir "$run_dir/tree"
{ printf 'exec'; printf ' %q' "$@"; echo; } >"$run_dir/tree/command"
printf '%s' "$share" >"$run_dir/tree/share"
{ cat "$cache/initrd"; pack "$run_dir/tree"; } >"$run_dir/initrd"

qemu=(
  qemu-system-x86_64 -M pc -accel 'tcg,thread=multi' -cpu max -m "$memory_mb" -smp "$cpus"
  -nodefaults -no-reboot -display none -serial stdio -serial "file:$run_dir/status"
  -kernel "$cache/kernel" -initrd "$run_dir/initrd"
  -append 'console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off'
  -fsdev 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'
  -device 'virtio-9p-pci,fsdev=root,mount_tag=host_root'
)
[ -z "$share" ] || qemu+=(
  -fsdev "local,id=share,path=$share,security_model=none,multidevs=remap"
  -device 'virtio-9p-pci,fsdev=share,mount_tag=host_share'
)
status=0
timeout --kill-after=5 "$timeout_sec" "${qemu[@]}" </dev/null | tr -d '\r' || status=${PIPESTATUS[0]}
[ "$status" -ne 124 ] || { echo "run-vm.sh: time ran out after $timeout_sec s" >&2 && exit 124; }
status=$(tr -dc '0-9' <"$run_dir/status")
exit "${status:-125}"
