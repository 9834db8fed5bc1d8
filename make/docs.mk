# The configuration reference, from the schema tables.
docs: $(BUILD)/tests/tools/print_reference
	$< > docs/configuration.md
.PHONY: docs
