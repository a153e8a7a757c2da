#!/bin/sh
# Boots the test phone: `boot.sh ROOT STATE PORT LISTEN_FD MIB FIRST CPU QEMU`, as process 1 of user, mount, net and
# pid namespaces of its own. ROOT is read-only, as a phone's /system is; /data/local/tmp is a tmpfs of MIB MiB. STATE holds
# stand-ins of Android's commands, what they say, and the fake /sys. aarch64 programs go to FIRST, which is QEMU or starts
# it, and emulates CPU, in this namespace only.
set -eu
root=$1 state=$2 port=$3 listen=$4 mib=$5 first=$6 cpu=$7 qemu=$8

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind "$state" "$root/test-phone"
mount --bind "$state/sys" "$root/sys"
mount -t tmpfs -o "size=${mib}m,mode=0777" tmpfs "$root/data/local/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

if [ -n "$qemu" ]; then
  mount --bind "$qemu" "$root/test-phone/qemu"
  # a binfmt_misc of this user namespace (Linux 6.7 and newer); F: the interpreter is opened now, outside the root
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  aarch64='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":qemu-aarch64:M::$aarch64:$mask:$first:F" > /proc/sys/fs/binfmt_misc/register
fi

: > "$state/booted"
# as Android's init does, adbd is started again when it ends
while :; do
  chroot "$root" /system/bin/env -i PATH=/test-phone/bin:/system/bin HOME=/ QEMU_CPU="$cpu" ADBD_PORT="$port" \
    LISTEN_FD="$listen" LD_PRELOAD=/usr/lib/adbd_shim.so /usr/sbin/adbd >> "$state/adbd.log" 2>&1 || :
  sleep 0.2
done
