# The image: build/image/edged-VERSION.qcow2, a Debian 13 with its cloud kernel. See docs/operations.md.
image: deps-image
	@$(MAKE) --no-print-directory SUITE=trixie deb
	@image/build.sh '$(VERSION)' build/deb/trixie/edged_*.deb

deps-image: deps-deb
.PHONY: image deps-image

# The image's own tests: some minutes with KVM, a quarter of an hour without.
image-test: image deps-vm
	@EDGED_VM=image /usr/bin/python3 -B -m pytest tests/vm/test_image.py $(if $(T),-k '$(T)')
.PHONY: image-test
