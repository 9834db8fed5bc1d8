# make install DESTDIR=...: what the package holds, but for its maintainer scripts. Asks for nothing, starts nothing.
PREFIX ?= /usr
UNITDIR ?= $(PREFIX)/lib/systemd/system
INSTALL_UNITS := $(wildcard image/systemd/*.service image/systemd/*.socket image/systemd/*.timer)
COMPLETIONS := $(BUILD)/completions

completions: $(BUILD)/edgectl
	@mkdir -p $(COMPLETIONS)
	@for shell in bash zsh fish; do $(BUILD)/edgectl completion $$shell >$(COMPLETIONS)/$$shell || exit 1; done

install: all completions
	install -D -m 755 $(BUILD)/edged $(DESTDIR)$(PREFIX)/sbin/edged
	install -D -m 755 $(BUILD)/edgectl $(DESTDIR)$(PREFIX)/bin/edgectl
	install -D -m 755 $(BUILD)/when-closed $(DESTDIR)$(PREFIX)/lib/edged/when-closed
	install -d $(DESTDIR)$(UNITDIR)
	install -m 644 $(INSTALL_UNITS) $(DESTDIR)$(UNITDIR)
	install -D -m 644 image/edged.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/edged.conf
	install -D -m 644 image/edged.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/edged.conf
	install -D -m 644 image/edged.modules $(DESTDIR)$(PREFIX)/lib/modules-load.d/edged.conf
	install -D -m 644 $(COMPLETIONS)/bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/edgectl
	install -D -m 644 $(COMPLETIONS)/zsh $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_edgectl
	install -D -m 644 $(COMPLETIONS)/fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/edgectl.fish
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/doc/edged/examples/blocklists
	install -m 644 docs/edged.8 docs/edgectl.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 examples/edged.yaml $(DESTDIR)$(PREFIX)/share/doc/edged/examples
	install -m 644 examples/blocklists/* $(DESTDIR)$(PREFIX)/share/doc/edged/examples/blocklists

# The Debian package: build/deb/edged_VERSION+SUITE_amd64.deb. SUITE=bookworm|trixie|"bookworm trixie".
SUITE ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)
DEPS_DEB_BUILD = $(filter-out libcmocka-dev,$(DEPS_BUILD))
DEPS_DEB := debhelper build-essential fakeroot lintian mmdebstrap debian-archive-keyring

deb: deps-deb
	@for suite in $(SUITE); do image/deb.sh $$suite '$(VERSION)' $(foreach p,$(DEPS_DEB_BUILD),'$(p)') || exit 1; done

deps-deb: deps
	@make/deps.sh image/edged.sysusers $(foreach p,$(DEPS_DEB),'$(p)')
.PHONY: install completions deb deps-deb
