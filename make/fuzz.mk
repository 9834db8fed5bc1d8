# make fuzz T=name [SECONDS=60]: builds tests/fuzz/NAME_fuzz.c and everything it may call with clang, libFuzzer, ASan
# and UBSan, and runs it. The corpus grows in build/fuzz/corpus/NAME; what it finds lies in build/fuzz/found.
# Seeds: tests/fuzz/seeds/NAME, and what SEEDS_NAME names.
SECONDS ?= 60
FUZZ := build/fuzz
FUZZ_CFLAGS = -std=gnu17 -O1 -g -D_GNU_SOURCE -DEDGED_VERSION='"$(VERSION)"' -MMD -MP \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
FUZZ_OBJECTS = $(patsubst $(BUILD)/%,$(FUZZ)/%,$(1))
SEEDS_yaml := examples tests/corpus/broken tests/corpus/warned
SEEDS_edit := examples tests/corpus/warned

$(FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CLANG $@";) clang $(FUZZ_CFLAGS) -c -o $@ $<
$(FUZZ)/librules.a: $(call FUZZ_OBJECTS,$(RULES))
$(FUZZ)/libdaemon.a: $(call FUZZ_OBJECTS,$(DAEMON))
$(FUZZ)/%.a:
	@rm -f $@
	@ar rcs $@ $^
$(FUZZ)/%_fuzz: $(FUZZ)/tests/fuzz/%_fuzz.o $(FUZZ)/libdaemon.a $(FUZZ)/librules.a
	@$(if $(V),,echo "  LD $@";) clang -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)
.PRECIOUS: $(FUZZ)/%.o

fuzz: $(FUZZ)/$(T)_fuzz
	@mkdir -p $(FUZZ)/corpus/$(T) $(FUZZ)/found
	$< -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix=$(FUZZ)/found/$(T)- $(FUZZ)/corpus/$(T) $(wildcard tests/fuzz/seeds/$(T) $(SEEDS_$(T)))

-include $(shell find $(FUZZ) -name '*.d' 2>/dev/null)
.PHONY: fuzz
