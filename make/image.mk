# The image: build/image/edged-VERSION.qcow2, a Debian 13 with its cloud kernel, and edged-VERSION.bundle, which
# image/sign.sh signs. IMAGE_KEYS='a.pem ...': public keys whose bundles it installs. KERNEL=full: Debian's whole kernel,
# for real machines, into build/image-full. edged-VERSION.cdx.json says what is in it (CycloneDX). See docs/operations.md.
image: deps-image
	@KERNEL=$(KERNEL) image/build.sh '$(VERSION)' $(IMAGE_KEYS)

deps-image: deps-deb
.PHONY: image deps-image

# The image's own tests: some minutes with KVM, three quarters of an hour without.
IMAGE_TESTS := $(patsubst %,tests/vm/test_%.py,image closed_first slots slot_damage initrd soak)
image-test: image deps-vm
	@EDGED_VM=image /usr/bin/python3 -B -m pytest $(IMAGE_TESTS) $(if $(T),-k '$(T)')

# Power cuts and boots, many of them: hours without KVM. EDGED_SOAK_SEED=N: other moments.
vm-soak: image deps-vm
	@EDGED_VM=image EDGED_SOAK_CUTS=$${EDGED_SOAK_CUTS:-200} EDGED_SOAK_BOOTS=$${EDGED_SOAK_BOOTS:-50} \
		/usr/bin/python3 -B -m pytest tests/vm/test_soak.py $(if $(T),-k '$(T)')
.PHONY: image-test vm-soak
