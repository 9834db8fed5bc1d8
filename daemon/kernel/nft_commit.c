/* Steps -> one nftables transaction. System parameters cannot be part of it:
 * they are written first and put back when the transaction fails. Every error
 * is mapped back to the step that caused it. It never decides what to write. */
#include "nft_batch.h"
#include "nft_kernel.h"
#include "nft_monitor.h"
#include "nft_object.h"
#include "nft_set.h"
#include "sysctl.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct build {
	const struct nft_kernel *kernel;
	struct nft_batch *batch;
	uint32_t owner; /* index of the step */
};

static struct nlmsghdr *add(const struct build *build, uint16_t type, uint16_t flags, size_t room)
{
	return nft_batch_add(build->batch, build->owner, type, flags, room);
}

static int done(const struct build *build, const struct nlmsghdr *message, int rc)
{
	if (rc == 0)
		nft_batch_done(build->batch, message);
	return rc;
}

static int build_table(const struct build *build, const struct step *step)
{
	uint16_t type = step->kind == STEP_DELETE_TABLE ? NFT_MSG_DELTABLE : NFT_MSG_NEWTABLE;
	uint16_t message_flags = step->kind == STEP_ADD_TABLE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	uint32_t flags = step->owner ? TABLE_FLAG_OWNER | TABLE_FLAG_PERSIST : 0;
	/* The kernel refuses to change persist in a table that is there. */
	if (step->kind == STEP_SET_TABLE_FLAGS && !step->owner)
		flags = build->kernel->table_flags & TABLE_FLAG_PERSIST;
	struct nlmsghdr *message = add(build, type, message_flags, OBJECT_ROOM);
	return message ? done(build, message, put_table(message, STATE_TABLE, flags)) : -ENOMEM;
}

static int build_chain(const struct build *build, const struct step *step)
{
	bool fresh = step->kind == STEP_ADD_CHAIN;
	uint16_t type = step->kind == STEP_DELETE_CHAIN ? NFT_MSG_DELCHAIN : NFT_MSG_NEWCHAIN;
	struct nlmsghdr *message = add(build, type, fresh ? NLM_F_CREATE | NLM_F_EXCL : 0, OBJECT_ROOM);
	return message ? done(build, message, put_chain(message, step->chain, fresh)) : -ENOMEM;
}

static int build_rule(const struct build *build, const struct step *step)
{
	uint16_t flags = NLM_F_CREATE | (step->before ? 0 : NLM_F_APPEND);
	struct nlmsghdr *message = add(build, NFT_MSG_NEWRULE, flags, RULE_ROOM(step->rule->expr_count));
	return message ? done(build, message, put_rule(message, step->chain, step->rule, step->before)) : -ENOMEM;
}

static int build_rule_end(const struct build *build, const struct step *step)
{
	if (step->kind == STEP_DELETE_RULE && step->rule->handle == 0)
		return -EINVAL; /* would delete all of them */
	uint64_t handle = step->kind == STEP_DELETE_RULE ? step->rule->handle : 0;
	struct nlmsghdr *message = add(build, NFT_MSG_DELRULE, 0, OBJECT_ROOM);
	return message ? done(build, message, put_rule_handle(message, step->chain, handle)) : -ENOMEM;
}

static int build_counter(const struct build *build, const char *name, const uint8_t *hash, bool fresh)
{
	struct nlmsghdr *message = add(build, fresh ? NFT_MSG_NEWOBJ : NFT_MSG_DELOBJ, fresh ? NLM_F_CREATE | NLM_F_EXCL : 0,
				       OBJECT_ROOM);
	if (!message)
		return -ENOMEM;
	if (fresh)
		return done(build, message, put_counter(message, name, hash));
	put_counter_name(message, name);
	return done(build, message, 0);
}

/* The counter beside a set that keeps the hash of its content: see struct set. */
static int build_hash(const struct build *build, const struct set *set, bool was_there, bool shall_be)
{
	static const uint8_t none[sizeof(set->hash)];
	char name[NFT_NAME_MAXLEN];
	if (snprintf(name, sizeof(name), STATE_HASH_PREFIX "%s", set->name) >= (int)sizeof(name))
		return -EINVAL;
	int rc = was_there ? build_counter(build, name, NULL, false) : 0;
	if (rc == 0 && shall_be && memcmp(set->hash, none, sizeof(none)) != 0)
		rc = build_counter(build, name, set->hash, true);
	return rc;
}

/* The flowtable as a whole, or devices that come and go. */
static int build_flowtable(const struct build *build, const struct step *step, const struct element *devices, size_t count)
{
	bool adds = step->kind == STEP_ADD_SET || step->kind == STEP_ADD_ELEMENTS;
	uint16_t flags = step->kind == STEP_ADD_SET ? NLM_F_CREATE | NLM_F_EXCL : adds ? NLM_F_CREATE : 0;
	struct nlmsghdr *message =
		add(build, adds ? NFT_MSG_NEWFLOWTABLE : NFT_MSG_DELFLOWTABLE, flags, OBJECT_ROOM + 64 * count);
	if (!message)
		return -ENOMEM;
	return done(build, message, put_flowtable(message, STATE_TABLE, step->set->name, adds, devices, count));
}

static int build_set(const struct build *build, const struct step *step)
{
	if (step->kind == STEP_SET_HASH)
		return build_hash(build, step->set, step->had_hash, true);
	if (step->set->flowtable)
		return build_flowtable(build, step, NULL, 0);
	bool fresh = step->kind == STEP_ADD_SET;
	struct nlmsghdr *message = add(build, fresh ? NFT_MSG_NEWSET : NFT_MSG_DELSET, fresh ? NLM_F_CREATE | NLM_F_EXCL : 0,
				       SET_ROOM);
	if (!message)
		return -ENOMEM;
	int rc = 0;
	if (fresh)
		rc = put_set(message, step->set, build->owner + 1);
	else
		put_set_name(message, step->set->name);
	rc = done(build, message, rc);
	return rc < 0 ? rc : build_hash(build, step->set, !fresh && step->had_hash, fresh);
}

static int build_elements(const struct build *build, const struct step *step)
{
	if (step->set->flowtable)
		return step->kind == STEP_FLUSH_SET ? -EINVAL :
						      build_flowtable(build, step, step->elements, step->element_count);
	if (step->kind == STEP_FLUSH_SET) {
		struct nlmsghdr *message = add(build, NFT_MSG_DELSETELEM, 0, SET_ROOM);
		if (!message)
			return -ENOMEM;
		put_elements_of(message, step->set->name);
		return done(build, message, 0);
	}
	return add_elements(build->batch, build->owner, step->kind == STEP_DELETE_ELEMENTS, step->set, step->elements,
			    step->element_count, step->ranges, step->range_count);
}

static int build_step(const struct build *build, const struct step *step)
{
	switch (step->kind) {
	case STEP_SET_SYSCTL:
		return 0; /* written before the batch */
	case STEP_DELETE_TABLE:
	case STEP_ADD_TABLE:
	case STEP_SET_TABLE_FLAGS:
		return build_table(build, step);
	case STEP_DELETE_RULE:
	case STEP_FLUSH_CHAIN:
		return build_rule_end(build, step);
	case STEP_ADD_RULE:
		return build_rule(build, step);
	case STEP_DELETE_CHAIN:
	case STEP_SET_CHAIN:
	case STEP_ADD_CHAIN:
		return build_chain(build, step);
	case STEP_DELETE_COUNTER:
	case STEP_ADD_COUNTER:
		return build_counter(build, step->counter->name, NULL, step->kind == STEP_ADD_COUNTER);
	case STEP_DELETE_SET:
	case STEP_ADD_SET:
	case STEP_SET_HASH:
		return build_set(build, step);
	case STEP_DELETE_ELEMENTS:
	case STEP_FLUSH_SET:
	case STEP_ADD_ELEMENTS:
		return build_elements(build, step);
	case STEP_DELETE_TUNNEL:
	case STEP_ADD_TUNNEL:
	case STEP_SET_TUNNEL:
	case STEP_DELETE_PEER:
	case STEP_SET_PEER:
	case STEP_DELETE_ROUTE:
	case STEP_DELETE_ADDRESS:
	case STEP_SET_LINK:
	case STEP_ADD_ADDRESS:
	case STEP_ADD_ROUTE:
	case STEP_KINDS:
		break;
	}
	return -EINVAL;
}

/* What an error of the kernel's means for people. */
static const char *explain(int error)
{
	switch (-error) {
	case EPERM:
		return "not allowed: no CAP_NET_ADMIN, or another process owns the table";
	case ENOENT:
		return "something that it refers to is not there";
	case EEXIST:
		return "it is there already, or overlaps with what is";
	case EBUSY:
		return "it is still in use";
	case ENFILE:
		return "the set is full";
	case EOPNOTSUPP:
		return "this kernel has no support for it";
	case ENODATA:
		return "it reads a register that nothing was loaded into";
	case EMSGSIZE:
		return "the netlink batch did not fit";
	case ENOMEM:
		return "out of memory";
	case ERESTART:
		return "the ruleset was changed by somebody else meanwhile";
	case ELOOP:
		return "chains that jump to each other";
	case EMLINK:
		return "too many references";
	case EINVAL:
		return "the kernel does not take it";
	case ESTALE:
		return "the kernel did not answer: it may be in force or not";
	default:
		return "the kernel refused it";
	}
}

static int fail(struct nft_kernel *kernel, struct commit_error *ret_error, int error, const struct step *step,
		const char *said)
{
	const char *what = explain(error);
	if (said && *said) {
		snprintf(kernel->what, sizeof(kernel->what), "%s (%s)", what, said);
		what = kernel->what;
	}
	*ret_error = (struct commit_error){.error = error, .step = step, .what = what};
	return error;
}

/* Former values of system parameters, by step; NULL where none was written. */
struct undo {
	char **values;
	const struct steps *steps;
};

static void undo_free(struct undo *undo)
{
	for (size_t i = 0; undo->values && i < undo->steps->count; i++)
		free(undo->values[i]);
	free(undo->values);
}

static void put_back(const struct undo *undo)
{
	for (size_t i = undo->steps->count; undo->values && i > 0; i--) {
		if (undo->values[i - 1])
			(void)sysctl_write(undo->steps->items[i - 1].sysctl->name, undo->values[i - 1]);
	}
}

static int write_sysctl(const struct sysctl *sysctl, char **ret_former)
{
	char value[SYSCTL_VALUE_MAX];
	int rc = sysctl_read(sysctl->name, value);
	if (rc < 0)
		return rc;
	char *former = strdup(value);
	if (!former)
		return -ENOMEM;
	rc = sysctl_write(sysctl->name, sysctl->value);
	if (rc < 0) {
		free(former);
		return rc;
	}
	*ret_former = former;
	return 0;
}

/* *ret_failed: index of the step that failed. */
static int write_sysctls(struct undo *undo, size_t *ret_failed)
{
	undo->values = calloc(undo->steps->count + 1, sizeof(*undo->values));
	if (!undo->values)
		return -ENOMEM;
	for (size_t i = 0; i < undo->steps->count; i++) {
		const struct step *step = &undo->steps->items[i];
		int rc = step->kind == STEP_SET_SYSCTL ? write_sysctl(step->sysctl, &undo->values[i]) : 0;
		if (rc < 0) {
			*ret_failed = i;
			return rc;
		}
	}
	return 0;
}

static int build_all(const struct nft_kernel *kernel, struct nft_batch *batch, const struct steps *steps,
		     size_t *ret_failed)
{
	int rc = nft_batch_begin(kernel->generation, batch);
	for (size_t i = 0; rc == 0 && i < steps->count; i++) {
		struct build build = {.kernel = kernel, .batch = batch, .owner = (uint32_t)i};
		rc = build_step(&build, &steps->items[i]);
		if (rc < 0)
			*ret_failed = i;
	}
	return rc;
}

/* An element whose time ran out after it was observed is no error: read again. */
static int judge(const struct step *step, int error)
{
	bool ran_out = error == -ENOENT && step && step->kind == STEP_DELETE_ELEMENTS && step->set->timeout;
	return ran_out ? -ERESTART : error;
}

static int send_and_judge(struct nft_kernel *nft, const struct steps *steps, struct nft_batch *batch,
			  struct commit_error *ret_error)
{
	struct nft_batch_result result;
	uint32_t before = nft->generation;
	monitor_pause(nft->monitor);
	int rc = nft_batch_send(batch, &nft->owner, &result);
	monitor_resume(nft->monitor);
	if (rc == 0) {
		nft_committed(nft, before);
		return 0;
	}
	const struct step *step = result.owner < steps->count ? &steps->items[result.owner] : NULL;
	return fail(nft, ret_error, judge(step, rc), step, result.said);
}

int nft_commit(struct kernel *kernel, const struct steps *steps, struct commit_error *ret_error)
{
	struct nft_kernel *nft = nft_kernel_of(kernel);
	struct nft_batch batch cleanup_batch = {0};
	struct undo undo = {.steps = steps};
	size_t failed = steps->count;
	if (nft->generation == 0 || steps->count >= NFT_BATCH_NO_OWNER)
		return fail(nft, ret_error, -EINVAL, NULL, "nothing was observed before");
	int rc = build_all(nft, &batch, steps, &failed);
	if (rc == 0)
		rc = write_sysctls(&undo, &failed);
	if (rc < 0)
		rc = fail(nft, ret_error, rc, failed < steps->count ? &steps->items[failed] : NULL, NULL);
	else if (batch.count > 0)
		rc = send_and_judge(nft, steps, &batch, ret_error);
	if (rc < 0)
		put_back(&undo);
	undo_free(&undo);
	return rc;
}

int nft_dynamic_remove(struct kernel *kernel, const struct set *set, const struct addr *addr)
{
	struct nft_kernel *nft = nft_kernel_of(kernel);
	struct element element = {0};
	if (set->key[1] || field_size(set->key[0]) != addr_size(addr->family))
		return -EINVAL;
	memcpy(element.key, addr->bytes, addr_size(addr->family));
	for (int tries = 0; tries < READ_AGAIN_MOST; tries++) {
		struct nft_batch batch cleanup_batch = {0};
		struct nft_batch_result result;
		uint32_t generation;
		int rc = nft_generation(kernel, &generation);
		if (rc == 0)
			rc = nft_batch_begin(generation, &batch);
		if (rc == 0)
			rc = add_elements(&batch, 0, true, set, &element, 1, NULL, 0);
		if (rc == 0)
			rc = nft_batch_send(&batch, &nft->owner, &result);
		if (rc == 0)
			nft_committed(nft, generation);
		if (rc != -ERESTART)
			return rc;
	}
	return -EAGAIN;
}
