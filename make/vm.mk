# Tests in QEMU on Debian's own kernels, see tests/vm/README.md. T=name: what pytest -k takes.
# EDGED_VM=short: without the tests that say vm-long.
DEPS_VM := qemu-system-x86 virtiofsd|qemu-system-common cpio busybox-static|busybox kmod xz-utils \
	qemu-utils genisoimage ovmf erofs-utils mtools e2fsprogs openssh-client systemd-container

vm-test: deps-deb deps-vm
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@EDGED_VM=$${EDGED_VM:-long} /usr/bin/python3 -B -m pytest tests/vm tests/package $(if $(T),-k '$(T)')

deps-vm:
	@make/deps.sh image/edged.sysusers $(foreach p,$(DEPS_VM),'$(p)')
.PHONY: vm-test deps-vm
