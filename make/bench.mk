# Benchmarks: tables, not timed tests. ROUNDS=n for more or fewer rounds.
bench: bench-planes bench-forwarder bench-apply bench-flood bench-tunnels bench-datagram

bench-forwarder: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) tools
	@/usr/bin/python3 -B tests/bench/forwarder.py $(if $(ROUNDS),--rounds $(ROUNDS))

bench-planes: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@/usr/bin/python3 -B tests/bench/planes.py --svg docs/benchmarks.svg $(if $(ROUNDS),--rounds $(ROUNDS))

# Latency without queues: it needs more rounds than the rest.
bench-paced: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@/usr/bin/python3 -B tests/bench/planes.py --rows paced --programs 'edged kernel;edged proxy;HAProxy;nginx stream' \
		--rounds $(or $(ROUNDS),60) $(if $(OF),--of '$(OF)')

bench-apply: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all
	@/usr/bin/python3 -B tests/bench/apply.py $(ROUNDS)
bench-flood: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@/usr/bin/python3 -B tests/bench/flood.py
# Not part of "bench": a quarter of an hour for ten thousand. COUNT=n SEED=n.
bench-conversations: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@/usr/bin/python3 -B tests/bench/conversations.py $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))
.PHONY: bench-conversations bench bench-paced bench-flood bench-planes bench-forwarder bench-apply

# With what this machine has (most often wireguard-go), then with the WireGuard of Debian 13's kernel, in QEMU, where
# instructions are counted: few rounds will do.
bench-tunnels: deps deps-vm
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all tools
	@/usr/bin/python3 -B tests/bench/tunnels.py --rounds $(or $(ROUNDS),10)
	@/usr/bin/python3 -B tests/vm/machine.py trixie --counted --seconds 1800 -- \
		'EDGED_TEST_SLOW=10 /usr/bin/python3 -B tests/bench/tunnels.py --rounds 4 --seconds 1 --only throughput'
bench-datagram: deps
	@$(MAKE) --no-print-directory --silent -j$$(nproc) all
	@/usr/bin/python3 -B tests/bench/datagram.py $(if $(ROUNDS),--rounds $(ROUNDS))
.PHONY: bench-tunnels bench-datagram
