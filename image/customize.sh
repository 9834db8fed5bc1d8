#!/bin/sh
# Makes a Debian into the image's root: customize.sh ROOT. Nothing of the build stays in it: no mirror, no keys, no logs.
set -eu
root=$1

cp -a "$(dirname "$0")/root/." "$root/"
# Whoever has checked this tree out, and with what umask.
for path in $(cd "$(dirname "$0")/root" && find . ! -name . | sort); do
	chown -h 0:0 "$root/$path"
	chmod u=rwX,go=rX "$root/$path"
	touch -h -d "@$SOURCE_DATE_EPOCH" "$root/$path"
done
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash --groups edge edge-admin
chroot "$root" usermod --lock root
mkdir -p "$root/etc/ssh/keys" "$root/var/lib/cloud" "$root/data" "$root/boot" "$root/lower"
rm -f "$root"/etc/ssh/ssh_host_*

# edged-provision.service runs cloud-init; Debian's own units would keep the network waiting for it.
for unit in cloud-init-local cloud-init-main cloud-init-network cloud-init cloud-config cloud-final \
	systemd-networkd-wait-online systemd-firstboot nftables apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_reap; do
	for kind in service timer; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit.$kind"
	done
done
# What an edge has no use for costs time at every boot: a unit that nothing pulls in is not even read.
for unit in dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
	sys-kernel-config.mount modprobe@.service systemd-pstore.service systemd-binfmt.service systemd-sysext.socket \
	systemd-hostnamed.socket systemd-creds.socket systemd-tpm2-setup-early.service systemd-tpm2-setup.service \
	kmod-static-nodes.service systemd-tmpfiles-setup-dev-early.service systemd-tmpfiles-setup-dev.service \
	systemd-modules-load.service systemd-udev-load-credentials.service systemd-random-seed.service \
	systemd-remount-fs.service systemd-sysctl.service run-lock.mount systemd-networkd-persistent-storage.service \
	proc-sys-fs-binfmt_misc.automount systemd-initctl.socket; do
	rm -f "$root"/etc/systemd/system/*.wants/"$unit" "$root"/usr/lib/systemd/system/*.wants/"$unit"
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
for unit in ldconfig.service systemd-ask-password-console.path systemd-ask-password-wall.path systemd-firstboot.service \
	systemd-hibernate-clear.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
	systemd-machine-id-commit.service systemd-pcrmachine.service systemd-pcrphase-sysinit.service systemd-pcrphase.service \
	systemd-pcrextend.socket systemd-pcrlock.socket systemd-sysusers.service systemd-update-done.service \
	getty-static.service remote-fs.target e2scrub_reap.service e2scrub_all.timer dpkg-db-backup.timer; do
	rm -f "$root"/etc/systemd/system/*.wants/"$unit" "$root"/usr/lib/systemd/system/*.wants/"$unit"
done
ln -sf /usr/lib/systemd/system/serial-getty@.service "$root/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
# The network's own service may start at any time: there is no port before edged-ports.service.
ln -sf /dev/null "$root/etc/systemd/system/network-pre.target"
mkdir -p "$root/etc/systemd/system-generators"
for generator in systemd-ssh-generator systemd-gpt-auto-generator systemd-tpm2-generator systemd-hibernate-resume-generator \
	systemd-cryptsetup-generator systemd-veritysetup-generator systemd-integritysetup-generator cloud-init-generator \
	systemd-fstab-generator systemd-rc-local-generator systemd-run-generator systemd-system-update-generator \
	systemd-sysv-generator systemd-getty-generator; do
	ln -sf /dev/null "$root/etc/systemd/system-generators/$generator"
done
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
for unit in edged-ports edged-provision edged-ssh-keys edged-image edged-grow systemd-networkd systemd-resolved ssh; do
	ln -sf "/usr/lib/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/$unit.service"
done
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
echo edge >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

# What apt and dpkg leave, and what says where it was built.
for path in etc/apt/sources.list etc/apt/sources.list.d var/lib/apt var/lib/systemd/random-seed \
	etc/udev/hwdb.bin usr/lib/udev/hwdb.d usr/lib/udev/hwdb.bin; do
	rm -rf "${root:?}/$path"
done
rm -rf "$root"/var/cache/* "$root"/var/log/* "$root"/tmp/* "$root"/var/tmp/* "$root"/run/* "$root"/root/.[a-z]* \
	"$root"/var/lib/dpkg/*-old "$root"/etc/*- "$root"/usr/share/doc/*/changelog*
find "$root/usr/lib/python3" -name __pycache__ -prune -exec rm -rf {} +
for folder in /usr/lib/python3 /usr/lib/python3.13; do
	chroot "$root" python3 -m compileall -q --invalidation-mode unchecked-hash $folder 2>/dev/null &
done
wait
# Drivers that no virtual machine of a cloud has, and that an edge has no use for. (kvm: in an emulated machine, loading it
# has crashed the kernel.)
modules=$(echo "$root"/usr/lib/modules/*)
for part in sound drivers/gpu drivers/media drivers/infiniband drivers/usb/serial drivers/comedi drivers/target \
	fs/bcachefs fs/btrfs fs/xfs fs/ceph fs/cifs fs/smb fs/nfs fs/nfsd fs/ocfs2 fs/gfs2 fs/f2fs fs/jfs fs/reiserfs \
	fs/ntfs3 net/ceph net/tipc net/rds net/smc net/sunrpc net/bluetooth net/wireless drivers/staging \
	drivers/bluetooth drivers/iio arch/x86/kvm; do
	rm -rf "${modules:?}/kernel/$part"
done
# What each boot loads, as it is: unpacking it keeps the firewall waiting for seconds on a slow machine.
chroot "$root" depmod "$(basename "$modules")"
for name in $(grep -v '^#' "$root/usr/lib/modules-load.d/edged.conf") virtio_net; do
	chroot "$root" modprobe -S "$(basename "$modules")" --show-depends "$name" 2>/dev/null | sed -n 's/^insmod //p'
done | sort -u | while read -r module _; do
	case $module in *.xz) xz -d "$root/$module" ;; esac
done
chroot "$root" depmod "$(basename "$modules")"
# What can be loaded after the firewall is closed.
later=$root/etc/systemd/system/edged-loader.service.d/image.conf
for name in $(sed -n 's/^ExecStartPre=.*modprobe --all --quiet //p' "$later"); do
	sed -i "/^$name\$/d" "$root/usr/lib/modules-load.d/edged.conf"
done

# Otherwise ldconfig, the journal's catalogue and others run at each boot.
touch -d "@$SOURCE_DATE_EPOCH" "$root/etc/.updated" "$root/var/.updated"
