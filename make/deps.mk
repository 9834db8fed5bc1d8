# What building, testing and the lab need, as Debian 12 and 13 name it. A|B: the first that the release has.
# To add a package, add its name here: `make deps` installs only what is missing.
DEPS_BUILD := gcc libc6-dev pkg-config libnftnl-dev libmnl-dev libnetfilter-conntrack-dev libyaml-dev libjansson-dev \
	libevent-dev libssl-dev libcurl4-openssl-dev libsystemd-dev libcap-dev libqrencode-dev libbpf-dev bpftool clang llvm \
	libcmocka-dev wireguard-tools
DEPS_LAB := nftables conntrack iproute2 iputils-ping nginx-light|nginx libnginx-mod-stream haproxy curl openssl \
	wireguard-go tcpdump socat procps util-linux mount jq python3
DEPS_TEST := python3-pytest python3-yaml python3-jsonschema python3-scapy libclang-rt-dev valgrind cppcheck clang-tidy \
	binutils git zsh fish
DEPS_BENCH := wrk iperf3

deps:
	@make/deps.sh image/edged.sysusers $(foreach p,$(DEPS_BUILD) $(DEPS_LAB) $(DEPS_TEST) $(DEPS_BENCH),'$(p)')
.PHONY: deps
