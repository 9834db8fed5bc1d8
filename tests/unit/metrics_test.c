/* The Prometheus text: its values, and whether a strict reader of the format
 * (prometheus.io/docs/instrumenting/exposition_formats) takes all of it. */
#include "../../daemon/metrics.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define FAMILIES_MOST 100
#define SAMPLES_MOST 1000

/* What the reader remembers. */
struct reader {
	char families[FAMILIES_MOST][80];
	size_t family_count;
	char type[20];
	char *samples[SAMPLES_MOST];
	size_t sample_count;
};

static size_t take_name(const char *text, bool label)
{
	size_t length = 0;
	while (isalpha((unsigned char)text[length]) || text[length] == '_' || (!label && text[length] == ':') ||
	       (length && isdigit((unsigned char)text[length])))
		length++;
	return length;
}

/* {name="value",...}; returns what follows. */
static const char *take_labels(const char *at)
{
	if (*at != '{')
		return at;
	do {
		at++;
		size_t length = take_name(at, true);
		if (!length || at[length] != '=' || at[length + 1] != '"')
			fail_msg("a label is wrong at: %s", at);
		for (at += length + 2; *at != '"'; at++) {
			if (*at == '\\' && !strchr("\\\"n", *++at))
				fail_msg("a wrong escape at: %s", at);
			if ((unsigned char)*at < 0x20)
				fail_msg("a control character at: %s", at);
		}
		at++;
	} while (*at == ',');
	if (*at != '}')
		fail_msg("no end of labels at: %s", at);
	return at + 1;
}

static void take_comment(struct reader *reader, const char *line)
{
	char word[8], name[80];
	int used = 0;
	if (sscanf(line, "# %7s %79s %n", word, name, &used) != 2 || !line[used])
		fail_msg("a comment that is neither HELP nor TYPE: %s", line);
	if (!strcmp(word, "HELP")) {
		for (size_t i = 0; i < reader->family_count; i++)
			if (!strcmp(reader->families[i], name))
				fail_msg("%s comes twice", name);
		assert_true(reader->family_count < FAMILIES_MOST);
		strcpy(reader->families[reader->family_count++], name);
		reader->type[0] = '\0';
		return;
	}
	assert_string_equal(word, "TYPE");
	assert_string_equal(name, reader->families[reader->family_count - 1]);
	assert_string_equal(reader->type, "");
	snprintf(reader->type, sizeof(reader->type), "%s", line + used);
	bool total = strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total");
	assert_int_equal(total, !strcmp(reader->type, "counter"));
}

static void take_sample(struct reader *reader, const char *line)
{
	size_t length = take_name(line, false);
	const char *family = reader->families[reader->family_count - 1], *suffix = line + strlen(family);
	assert_true(reader->family_count > 0);
	if (strncmp(line, family, strlen(family)) != 0 || !*reader->type)
		fail_msg("not below its HELP and TYPE: %s", line);
	size_t extra = length - strlen(family);
	bool part = !strcmp(reader->type, "histogram") &&
		    ((extra == 7 && !strncmp(suffix, "_bucket", 7)) || (extra == 4 && !strncmp(suffix, "_sum", 4)) ||
		     (extra == 6 && !strncmp(suffix, "_count", 6)));
	if (extra && !part)
		fail_msg("not of family %s: %s", family, line);
	const char *value = take_labels(line + length);
	char *end;
	if (*value != ' ' || (strtod(value + 1, &end), *end) || end == value + 1)
		fail_msg("no value: %s", line);
	char *series = strndup(line, (size_t)(value - line));
	for (size_t i = 0; i < reader->sample_count; i++)
		if (!strcmp(reader->samples[i], series))
			fail_msg("%s comes twice", series);
	assert_true(reader->sample_count < SAMPLES_MOST);
	reader->samples[reader->sample_count++] = series;
}

static void read_all(const char *text)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	char *copy = strdup(text), *rest = copy;
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (char *line = strsep(&rest, "\n"); line && rest; line = strsep(&rest, "\n")) {
		if (*line == '#')
			take_comment(reader, line);
		else
			take_sample(reader, line);
	}
	for (size_t i = 0; i < reader->sample_count; i++)
		free(reader->samples[i]);
	free(copy);
	free(reader);
}

static char *render(const struct metrics *metrics)
{
	char *text;
	size_t length;
	assert_int_equal(metrics_render(metrics, &text, &length), 0);
	assert_int_equal(strlen(text), length);
	read_all(text);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	if (!at || (at > text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line %s in\n%s", line, text);
}

static void test_empty(void **context)
{
	(void)context;
	const struct metrics metrics = {0};
	char *text = render(&metrics);
	assert_line(text, "edged_build_info{version=\"\"} 1");
	assert_line(text, "edged_revision 0");
	assert_null(strstr(text, "edged_forward"));
	free(text);
}

static void test_everything(void **context)
{
	(void)context;
	static const struct metrics_forward forwards[] = {
		{"https", "ingress", "proxy", 1000, 12, UINT64_MAX, 0, 0, 11, 3, 77, 2, 3},
		{"http", "ingress", "kernel", 5, 1, 0, 500, 40000, 0, 0, 0, 0, 3}};
	static const struct metrics_backend backends[] = {{"k8s-1", 30443, true}, {"k8s-1", 30080, false}};
	static const struct metrics_peer peers[] = {{"wg0", "k8s-3", true, NULL, 1700000000, 12, 34},
						    {"wg0", "far", false, "receive", 0, 0, 0}};
	static const struct metrics_node nodes[] = {{"k8s-1", true, false}, {"k8s-2", false, true}};
	static const struct metrics_rule rules[] = {{"ping", "accept", 5, 300, 2}, {"no-smtp", "reject", 7, 420, 0}};
	static const struct metrics_drop drops[] = {{"default", 99, 5940}, {"blocklist-abuse", 6, 360}};
	static const struct metrics_role roles[] = {{"main", 0, true, 0}, {"proxy", 0, true, 1}, {"proxy", 1, false, 2}};
	struct metrics metrics = {
		.version = "0.1.0", .revision = 7, .applied_at = 1714564800, .pending = true, .pending_deadline = 1714564860,
		.in_sync = true, .warnings = 2, .started_at = 1714560000, .cpu_seconds = 1.25, .resident_bytes = 9 << 20,
		.open_fds = 30, .repairs = 1, .forwards = forwards, .forward_count = COUNT(forwards), .backends = backends,
		.backend_count = COUNT(backends), .nodes = nodes, .node_count = COUNT(nodes), .rules = rules, .peers = peers,
		.peer_count = COUNT(peers),
		.rule_count = COUNT(rules), .drops = drops, .drop_count = COUNT(drops), .roles = roles,
		.role_count = COUNT(roles), .operator_bans = 3, .packet_bans = 4};
	char *text = render(&metrics);
	static const char *const lines[] = {
		"edged_build_info{version=\"0.1.0\"} 1",
		"edged_pending_deadline_timestamp_seconds 1714564860",
		"process_cpu_seconds_total 1.250",
		"process_resident_memory_bytes 9437184",
		"edged_forward_info{forward=\"https\",pool=\"ingress\",plane=\"proxy\"} 1",
		"edged_forward_connections_total{forward=\"https\"} 1000",
		"edged_forward_connections_open{forward=\"https\"} 12",
		"edged_forward_proxied_bytes_total{forward=\"https\"} 18446744073709551615",
		"edged_forward_open_packets{forward=\"http\"} 500",
		"edged_forward_open_bytes{forward=\"http\"} 40000",
		"edged_forward_limited_packets_total{forward=\"https\"} 11",
		"edged_forward_refused_total{forward=\"https\"} 3",
		"edged_forward_backends_up{forward=\"https\"} 2",
		"edged_forward_backends{forward=\"http\"} 3",
		"edged_backend_up{node=\"k8s-1\",port=\"30080\"} 0",
		"edged_node_up{node=\"k8s-1\"} 1",
		"edged_node_draining{node=\"k8s-2\"} 1",
		"edged_rule_packets_total{rule=\"no-smtp\",action=\"reject\"} 7",
		"edged_rule_bytes_total{rule=\"ping\",action=\"accept\"} 300",
		"edged_rule_limited_packets_total{rule=\"ping\",action=\"accept\"} 2",
		"edged_dropped_packets_total{reason=\"default\"} 99",
		"edged_dropped_bytes_total{reason=\"blocklist-abuse\"} 360",
		"edged_tunnel_peer_up{tunnel=\"wg0\",peer=\"k8s-3\",check=\"\"} 1",
		"edged_tunnel_peer_up{tunnel=\"wg0\",peer=\"far\",check=\"receive\"} 0",
		"edged_tunnel_handshake_timestamp_seconds{tunnel=\"wg0\",peer=\"k8s-3\"} 1700000000",
		"edged_tunnel_sent_bytes_total{tunnel=\"wg0\",peer=\"k8s-3\"} 34",
		"edged_bans{by=\"operator\"} 3",
		"edged_bans{by=\"limit\"} 4",
		"edged_role_running{role=\"proxy\",index=\"1\"} 0",
		"edged_role_restarts_total{role=\"proxy\",index=\"0\"} 1",
	};
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_line(text, lines[i]);
	free(text);
}

static void test_durations(void **context)
{
	(void)context;
	struct metrics metrics = {.applies = {.succeeded = 3, .failed = 1}};
	static const uint64_t took[] = {0, 10, 11, 250, 30000, 30001};
	for (size_t i = 0; i < COUNT(took); i++)
		metrics_count_apply(&metrics.applies, took[i]);
	char *text = render(&metrics);
	assert_line(text, "edged_applies_total{result=\"succeeded\"} 3");
	assert_line(text, "edged_apply_duration_seconds_bucket{le=\"0.01\"} 2");
	assert_line(text, "edged_apply_duration_seconds_bucket{le=\"0.02\"} 3");
	assert_line(text, "edged_apply_duration_seconds_bucket{le=\"0.25\"} 4");
	assert_line(text, "edged_apply_duration_seconds_bucket{le=\"30\"} 5");
	assert_line(text, "edged_apply_duration_seconds_bucket{le=\"+Inf\"} 6");
	assert_line(text, "edged_apply_duration_seconds_sum 60.272");
	assert_line(text, "edged_apply_duration_seconds_count 6");
	free(text);
}

static void test_escaping(void **context)
{
	(void)context;
	static const struct metrics_drop drops[] = {
		{"quote\" back\\ new\nline", 1, 0}, {"\xff\x01\x7f", 2, 0}, {"gr\xc3\xbc\xc3\x9f", 3, 0}, {NULL, 4, 0}};
	const struct metrics metrics = {.drops = drops, .drop_count = COUNT(drops)};
	char *text = render(&metrics);
	assert_line(text, "edged_dropped_packets_total{reason=\"quote\\\" back\\\\ new\\nline\"} 1");
	assert_line(text, "edged_dropped_packets_total{reason=\"???\"} 2");
	assert_line(text, "edged_dropped_packets_total{reason=\"gr\xc3\xbc\xc3\x9f\"} 3");
	assert_line(text, "edged_dropped_packets_total{reason=\"\"} 4");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_everything),
					   cmocka_unit_test(test_durations), cmocka_unit_test(test_escaping)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
