# Sourced by run-vm.sh: a guest of User Mode Linux. Its programs run at the CPU's native speed, but its system calls and
# page faults are slow. It has one CPU.
#
# The kernel is the newest that Debian has packaged (suite $ARGYLE_VM_SUITE), or else the installed package: on 6.1
# forks take four times as long as on 7.2, and 6.1 and 6.12 cannot start a program on processors with AMX. A newer
# kernel needs a newer libc, so it is started in a root directory of its own, where the host's files are /host.
uml_suite=${ARGYLE_VM_SUITE-forky}

# Prints why the guest cannot run on this machine, or nothing. Containers may forbid ptrace(2) or mounts, which only a
# boot shows.
uml_obstacle() {
  local trial
  [ -e "$cache/uml/stamp" ] || { echo 'there is no kernel (apt-get install user-mode-linux)' && return; }
  trial=$(mktemp -d)
  (share='' timeout_sec=30 memory_mb=256 && run_guest uml "$trial" /bin/true) >"$trial/log" 2>&1 ||
    echo "its kernel does not get through a trial: $(tail -n 1 "$trial/log")"
  rm -rf "$trial"
}

uml_ready() {
  local tool
  for tool in busybox cpio unshare; do
    command -v "$tool" >/dev/null || die "missing $tool: apt-get install busybox-static cpio util-linux"
  done
}

uml_stamp() { echo "$uml_suite" && cat "$here/machine-uml.sh"; }

# Makes ./kernel, the root directory for linux.uml, and ./modules. False when no package is available.
uml_kernel() {
  mkdir -p kernel/usr/bin kernel/usr/lib kernel/proc kernel/dev kernel/host kernel/memory
  { [ -n "$uml_suite" ] && fetch_newest >fetch.log 2>&1; } || use_installed
}

# Uses a separate apt state, with this machine's own mirror and trusted keys.
fetch_newest() {
  local mirror state=$PWD/apt keys=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  [ -n "$mirror" ] || return
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  echo "deb [signed-by=$keys target=Packages lang=none] $mirror $uml_suite main" >"$state/sources.list"
  local apt=(
    apt-get -qq -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/nonexistent
    -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -o Acquire::Retries=1
  )
  "${apt[@]}" update && "${apt[@]}" download "user-mode-linux/$uml_suite" "libc6/$uml_suite" "libgcc-s1/$uml_suite" ||
    return
  local package
  for package in ./*.deb; do dpkg-deb -x "$package" packages; done
  cp packages/usr/bin/linux.uml kernel/usr/bin/
  cp -r packages/usr/lib/x86_64-linux-gnu kernel/usr/lib/
  ln -s usr/lib kernel/lib
  ln -s usr/lib/x86_64-linux-gnu kernel/lib64
  mv packages/usr/lib/uml/modules/* modules
}

use_installed() {
  local program library
  program=$(command -v linux.uml) || return
  cp "$program" kernel/usr/bin/
  # The libraries that ldd(1) prints, at the same paths.
  ldd "$program" | grep -o '/[^ ]*' | while read -r library; do install -D "$library" "kernel$library"; done
  cp -r "$(dirname "$program")"/../lib/uml/modules/*/ modules
}

# uml_boot RUN_DIR: boots RUN_DIR/initrd. Standard output is the guest's console; RUN_DIR/status is its second line.
# Runs in separate namespaces: the host's files are read-only except the share, and all processes end with this one.
uml_boot() {
  local user=()
  [ "$(id -u)" = 0 ] || user=(--map-root-user)
  # shellcheck disable=SC2016
  exec timeout --kill-after=5 "$timeout_sec" \
    unshare "${user[@]}" --mount --pid --fork --kill-child --mount-proc --propagation private -- \
    bash -euc '
      run_dir=$1 share=$2 memory_mb=$3 root=$4
      shift 4
      mount --rbind / "$root/host"
      while read -r _ place _; do
        case $place in "$root/host" | "$root/host"/*) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
      done </proc/self/mounts
      [ -z "$share" ] || mount --bind "$share" "$root/host$share"
      mount --rbind /proc "$root/proc"
      mount --rbind /dev "$root/dev"
      mount -t tmpfs -o "size=$((memory_mb + 64))m" tmpfs "$root/memory"
      cp "$run_dir/initrd" "$root/memory/initrd"
      exec chroot "$root" "$@"
    ' uml "$1" "$share" "$memory_mb" "$cache/uml/kernel" \
    /usr/bin/linux.uml "mem=${memory_mb}M" quiet panic=-1 uml_dir=/memory initrd=/memory/initrd \
    con=null con0=fd:0,fd:1 ssl=null ssl1=null,fd:9 9>"$1/status"
}
