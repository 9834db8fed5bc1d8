# Benchmarks: tables, not timed tests. ROUNDS=n for more or fewer rounds.
bench-forwarder: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) tools
	@/usr/bin/python3 -B tests/bench/forwarder.py $(if $(ROUNDS),--rounds $(ROUNDS))
.PHONY: bench-forwarder
