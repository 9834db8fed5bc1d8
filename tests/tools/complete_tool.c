/* Follows packets whose checksum the device has summed up (CHECKSUM_COMPLETE):
 * two TC programs, each of a few instructions.
 *
 *   complete_tool mark DEVICE    on ingress, ahead of all others: such packets get the mark 0x52
 *   complete_tool judge DEVICE   on egress: of these, it drops what conntrack could not believe by that sum. (What is
 *                                believed becomes CHECKSUM_UNNECESSARY; else conntrack sums up anew, and says nothing.) */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MARK 0x52

#define SET(to, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value)}
#define COPY(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)}
#define CALL(function) {.code = BPF_JMP | BPF_CALL, .imm = (function)}
#define SKIP(compare, reg, value, count) {.code = BPF_JMP | (compare) | BPF_K, .dst_reg = (reg), .imm = (value), .off = (count)}
#define LOAD(to, from, field) {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), \
			       .off = offsetof(struct __sk_buff, field)}
#define STORE(to, field, from) {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), \
				.off = offsetof(struct __sk_buff, field)}
#define END {.code = BPF_JMP | BPF_EXIT}

/* bpf_csum_update(skb, 0) changes nothing, and fails but for CHECKSUM_COMPLETE. */
static const struct bpf_insn mark[] = {
	COPY(BPF_REG_6, BPF_REG_1),
	SET(BPF_REG_2, 0),
	CALL(BPF_FUNC_csum_update),
	SKIP(BPF_JSLT, BPF_REG_0, 0, 2),
	SET(BPF_REG_1, MARK),
	STORE(BPF_REG_6, mark, BPF_REG_1),
	SET(BPF_REG_0, TC_ACT_UNSPEC),
	END,
};

/* bpf_csum_level(skb, QUERY) fails but for CHECKSUM_UNNECESSARY. */
static const struct bpf_insn judge[] = {
	COPY(BPF_REG_6, BPF_REG_1),
	LOAD(BPF_REG_1, BPF_REG_6, mark),
	SET(BPF_REG_0, TC_ACT_UNSPEC),
	SKIP(BPF_JNE, BPF_REG_1, MARK, 5),
	COPY(BPF_REG_1, BPF_REG_6),
	SET(BPF_REG_2, BPF_CSUM_LEVEL_QUERY),
	CALL(BPF_FUNC_csum_level),
	SKIP(BPF_JSLT, BPF_REG_0, 0, 2),
	SET(BPF_REG_0, TC_ACT_UNSPEC),
	END,
	SET(BPF_REG_0, TC_ACT_SHOT),
	END,
};

static int attach(const char *device, enum bpf_tc_attach_point point, const struct bpf_insn *code, size_t count)
{
	int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "complete", "GPL", code, count, NULL);
	if (program < 0)
		return program;
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = (int)if_nametoindex(device),
			    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = both.ifindex, .attach_point = point);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1, .prog_fd = program);
	bpf_tc_hook_create(&both); /* it may be there */
	return bpf_tc_attach(&hook, &opts);
}

int main(int argc, char **argv)
{
	int r;
	if (argc == 3 && strcmp(argv[1], "mark") == 0)
		r = attach(argv[2], BPF_TC_INGRESS, mark, sizeof(mark) / sizeof(mark[0]));
	else if (argc == 3 && strcmp(argv[1], "judge") == 0)
		r = attach(argv[2], BPF_TC_EGRESS, judge, sizeof(judge) / sizeof(judge[0]));
	else
		errx(2, "usage: complete_tool mark|judge DEVICE");
	if (r < 0)
		errx(1, "%s %s: %s", argv[1], argv[2], strerror(-r));
	return 0;
}
