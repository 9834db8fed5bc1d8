# The whole thing in network namespaces, on the example configuration. LAB=name: another one beside it.
LAB ?= edged-lab

lab: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all
	@/usr/bin/python3 -B lab/lab.py --name '$(LAB)' up

lab-down:
	@/usr/bin/python3 -B lab/lab.py --name '$(LAB)' down
.PHONY: lab lab-down
