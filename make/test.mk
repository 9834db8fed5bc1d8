# Every test that needs no VM and no network. T=name runs one: a unit test program, or what pytest -k takes.
# The unit tests run twice, the second time with ASan and UBSan.
test: deps $(if $(EDGED_VM),deps-vm deps-deb)
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all unit tools
	@$(MAKE) --no-print-directory --silent -j$$(nproc) SAN=1 all unit tools
	@/usr/bin/python3 -B tests/run.py $(if $(T),'$(T)')
.PHONY: test
