# Sourced by run-vm.sh: a guest in qemu's software emulation. It runs on any machine, about ten times slower.

qemu_ready() {
  local tool missing=()
  for tool in qemu-system-x86_64 busybox cpio; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} -eq 0 ] || die "missing ${missing[*]}: apt-get install qemu-system-x86 busybox-static cpio"
}

qemu_stamp() { cat "$here/unpack_kernel.py" "$here/machine-qemu.sh"; }

kernel_package() { apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }'; }

# Makes ./kernel and ./modules from Debian's current kernel package.
qemu_kernel() {
  local package
  package=$(kernel_package)
  # A new machine has no package lists yet.
  [ -n "$package" ] || { apt-get update -qq >&2 && package=$(kernel_package); }
  [ -n "$package" ] || die 'apt knows no linux-image-amd64'
  # The sandbox user of apt cannot write below a home directory.
  apt-get -o APT::Sandbox::User=root download -qq "$package" >&2
  dpkg-deb -x ./*.deb image
  python3 -I "$here/unpack_kernel.py" image/boot/vmlinuz-* kernel
  mv image/lib/modules/* modules
}

# qemu_boot RUN_DIR: boots RUN_DIR/initrd. Standard output is the guest's console; RUN_DIR/status is its second line.
qemu_boot() {
  local qemu=(
    qemu-system-x86_64 -M pc -accel 'tcg,thread=multi' -cpu max -m "$memory_mb" -smp "$cpus"
    -nodefaults -no-reboot -display none -serial stdio -serial "file:$1/status"
    -kernel "$cache/qemu/kernel" -initrd "$1/initrd"
    -append 'console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off'
    -fsdev 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'
    -device 'virtio-9p-pci,fsdev=root,mount_tag=host_root'
  )
  [ -z "$share" ] || qemu+=(
    -fsdev "local,id=share,path=$share,security_model=none,multidevs=remap"
    -device 'virtio-9p-pci,fsdev=share,mount_tag=host_share'
  )
  exec timeout --kill-after=5 "$timeout_sec" "${qemu[@]}"
}
