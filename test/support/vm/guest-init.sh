#!/bin/busybox sh
# First process of the test guest. It mounts an overlay with a writable layer in memory over the host's read-only root,
# mounts a pure cgroup v2 tree, runs /command from the initrd, writes its status to ttyS1 and powers off.
# /machine names the file system for the host's files: hostfs in User Mode Linux, 9p in qemu.
busybox=/bin/busybox
root=/root-overlay
machine=$($busybox cat /machine)

give_up() {
  $busybox echo "guest: $*"
  $busybox poweroff -f
}

mount_kernel_trees() {
  $busybox mount -t proc proc /proc
  $busybox mount -t sysfs sysfs /sys
  $busybox mount -t devtmpfs devtmpfs /dev
}

load_modules() {
  while read -r module; do
    $busybox insmod "/modules/$module" || give_up "cannot load $module"
  done </modules/order
}

# mount_host TAG PATH OPTION WHERE: mounts a directory of the host. qemu uses the tag instead of the path.
mount_host() {
  if [ "$machine" = uml ]; then
    $busybox mount -t hostfs -o "$3,/host$2" hostfs "$4"
  else
    $busybox mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$4"
  fi
}

mount_root() {
  mount_host host_root / "ro${1:+,$1}" /host-root || give_up 'cannot mount the host root'
  $busybox mount -t tmpfs -o size=75% tmpfs /layer || give_up 'cannot mount the memory layer'
  $busybox mkdir /layer/upper /layer/work
  $busybox mount -t overlay -o lowerdir=/host-root,upperdir=/layer/upper,workdir=/layer/work overlay "$root" ||
    give_up 'cannot mount the overlay'
  for tree in proc sys dev; do $busybox mount --move "/$tree" "$root/$tree"; done
  $busybox mkdir -p "$root/dev/shm" "$root/dev/pts"
  $busybox mount -t devpts devpts "$root/dev/pts"
  # Not /tmp: the checkout may be below it, and the overlay's upper layer is in memory anyway.
  for memory in dev/shm run; do $busybox mount -t tmpfs -o mode=1777 tmpfs "$root/$memory"; done
  $busybox mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || give_up 'cannot mount cgroup2'
  for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    $busybox ln -sf "${link#*:}" "$root/dev/${link%%:*}"
  done
}

mount_share() {
  share=$($busybox cat /share)
  [ -n "$share" ] || return 0
  $busybox mkdir -p "$root$share"
  mount_host host_share "$share" rw "$root$share" || give_up 'cannot mount the share'
}

mount_kernel_trees
load_modules
if [ "$machine" = uml ]; then mount_root; else mount_root cache=loose; fi
mount_share
$busybox ip link set lo up
$busybox hostname argyle-vm
$busybox cp /bin/busybox "$root/run/busybox"
$busybox cp /command "$root/run/command"

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb ARGYLE_VM=1 ARGYLE_VM_MACHINE="$machine"
exec $busybox switch_root "$root" /run/busybox sh -c '
  cd /
  /bin/sh /run/command </dev/null
  echo "$?" >/dev/ttyS1
  /run/busybox sync
  exec /run/busybox poweroff -f'
