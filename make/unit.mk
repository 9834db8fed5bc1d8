# The allocator of these tests ends after a number of calls.
WRAP_MEMORY := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray
$(BUILD)/tests/unit/model_memory_test: LDFLAGS += $(WRAP_MEMORY)
