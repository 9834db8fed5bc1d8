# packet_oracle, which holds the evaluator against the kernel, is made of several files.
$(BUILD)/tests/tools/packet_oracle: $(call objects,$(sort tests/tools/packet_oracle.c $(wildcard tests/tools/oracle/*.c))) \
		$(BUILD)/libdaemon.a $(BUILD)/librules.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)
