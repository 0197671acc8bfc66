/* SPDX-License-Identifier: Apache-2.0 */
/* State: a domain goes on in another one exactly, and hostile sections do no harm. */
#include <linux/kvm.h>

#include "tests/hypervisor/fixture.h"

#define VCPUS 2

static uint64_t steps(struct fixture *f, unsigned vcpu)
{
	return fixture_read(f, GUEST_COUNTERS_GPA + vcpu * 4096);
}

static void wait_steps(struct fixture *f, unsigned vcpu, uint64_t target)
{
	while (steps(f, vcpu) < target && !f->ended)
		sched_yield();
}

static void copy_memory(struct fixture *from, struct fixture *to)
{
	for (unsigned r = 0; r < hv_region_count(from->domain); r++) {
		const struct hv_region *region = hv_region(from->domain, r);
		uint64_t pages = region->size >> HV_PAGE_SHIFT;
		uint64_t page = 0;

		for (;;) {
			assert_ok(hv_memory_next_present(from->domain, r, page, &page, &from->err),
				  &from->err);
			if (page == pages)
				break;
			memcpy(hv_region(to->domain, r)->host + page * HV_PAGE_SIZE,
			       region->host + page * HV_PAGE_SIZE, HV_PAGE_SIZE);
			page++;
		}
	}
}

static void move(struct fixture *from, struct fixture *to, struct hv_config config)
{
	struct hv_state state;

	fixture_pause(from);
	hv_state_init(&state);
	assert_ok(hv_state_save(from->domain, &state, &from->err), &from->err);
	fixture_create(to, config);
	copy_memory(from, to);
	assert_ok(hv_state_load(to->domain, &state, &to->err), &to->err);
	hv_state_finish(&state);
	fixture_destroy(from);
}

/* Counters in memory, a general and a vector register go on; the guest itself finds differences. */
static void test_moves_in_mid_run(void **state)
{
	struct hv_config config = {.vcpus = VCPUS};
	struct fixture f[2];
	unsigned here = 0;

	(void)state;
	fixture_start(&f[here], config, "count");
	for (unsigned round = 0; round < 20; round++, here = !here) {
		uint64_t before[VCPUS];

		config.log_kind = round & 1 ? HV_LOG_RING : HV_LOG_BITMAP;
		for (unsigned i = 0; i < VCPUS; i++)
			wait_steps(&f[here], i, steps(&f[here], i) + 1000);
		fixture_pause(&f[here]);
		for (unsigned i = 0; i < VCPUS; i++)
			before[i] = steps(&f[here], i);
		move(&f[here], &f[!here], config);
		for (unsigned i = 0; i < VCPUS; i++)
			assert_int_equal(steps(&f[!here], i), before[i]);
		fixture_resume(&f[!here]);
		for (unsigned i = 0; i < VCPUS; i++)
			wait_steps(&f[!here], i, before[i] + 1000);
		assert_false(f[!here].ended);
	}
	fixture_destroy(&f[here]);
}

/* The same moves, with one lane of the vector register forgotten: the guest must notice. */
static void test_a_lost_register_is_noticed(void **state)
{
	struct hv_config config = {.vcpus = 1};
	struct hv_state saved;
	const struct hv_section *xsave;
	struct fixture from, to;

	(void)state;
	fixture_start(&from, config, "count");
	wait_steps(&from, 0, 1000);
	fixture_pause(&from);
	hv_state_init(&saved);
	assert_ok(hv_state_save(from.domain, &saved, &from.err), &from.err);
	xsave = hv_state_find(&saved, "xsave", 0);
	assert_non_null(xsave);
	memset(xsave->data + 160 + 15 * 16, 0, 8); /* the legacy area's xmm15 */
	fixture_create(&to, config);
	copy_memory(&from, &to);
	assert_ok(hv_state_load(to.domain, &saved, &to.err), &to.err);
	fixture_resume(&to);
	fixture_wait_end(&to);
	assert_int_equal(to.kind, HV_EVENT_SHUTDOWN);
	assert_int_equal(to.code, GUEST_WRONG);
	hv_state_finish(&saved);
	fixture_destroy(&from);
	fixture_destroy(&to);
}

/* Console input, the report and a WAIT that was under way move too. */
static void test_devices_move(void **state)
{
	struct hv_config config = {.vcpus = 1};
	char text[HV_REPORT_MAX];
	struct fixture from, to;

	(void)state;
	fixture_start(&from, config, "command");
	fixture_command(&from, GUEST_REPORT, 5, 0);
	fixture_send(&from, GUEST_WAIT_ONCE, 3600 * 1000, 0);
	fixture_pause(&from);
	fixture_send(&from, GUEST_WRITE, 1, 0x1000000);
	move(&from, &to, config);
	assert_int_equal(hv_report(to.domain, text, sizeof(text)), 1);
	assert_string_equal(text, "rrrrr");
	fixture_resume(&to);
	assert_int_equal(fixture_hear(&to), 'E');
	assert_int_equal(fixture_hear(&to), '.');
	assert_int_equal(fixture_read(&to, 0x1000000), 1);
	fixture_send(&to, GUEST_WAIT, 20, 0);
	assert_int_equal(fixture_hear(&to), 'W');
	fixture_destroy(&to);
}

/* ------------------------------------------------------------------------- hostile input */

static void load_must_fail(struct fixture *f, const struct hv_state *state, const char *reason)
{
	int rc = hv_state_load(f->domain, state, &f->err);

	if (rc == 0)
		fail_msg("state was loaded that should be refused: %s", reason);
	assert_int_equal(f->err.kind, XM_KIND_DATA);
	if (!strstr(f->err.text, reason))
		fail_msg("\"%s\" is not in: %s", reason, f->err.text);
}

static struct hv_section *find(struct hv_state *state, const char *name)
{
	return (struct hv_section *)hv_state_find(state, name, 0);
}

static void test_bad_lists_are_refused(void **unused)
{
	struct hv_state saved;
	struct hv_section *section, kept;
	struct fixture f;

	(void)unused;
	fixture_start(&f, (struct hv_config){.vcpus = 1}, "count");
	fixture_pause(&f);
	assert_ok(hv_state_save(f.domain, &saved, &f.err), &f.err);
	for (uint32_t i = 0; i < saved.count; i++) { /* each is needed */
		section = &saved.sections[i];
		kept = *section;
		*section = saved.sections[saved.count - 1];
		saved.count--;
		load_must_fail(&f, &saved, "is missing");
		saved.count++;
		*section = kept;
	}
	section = find(&saved, "regs");
	section->size--;
	load_must_fail(&f, &saved, "wrong size");
	section->size++;
	section->version = 2;
	load_must_fail(&f, &saved, "version");
	section->version = 1;
	section->instance = 1;
	load_must_fail(&f, &saved, "has not");
	section->instance = UINT32_MAX;
	load_must_fail(&f, &saved, "has not");
	section->instance = 0;
	memset(section->name, 'z', sizeof(section->name));
	load_must_fail(&f, &saved, "unknown");
	strcpy(section->name, "regs");
	assert_ok(hv_state_add(&saved, "regs", 0, 1, section->data, section->size, &f.err), &f.err);
	load_must_fail(&f, &saved, "twice");
	free(saved.sections[--saved.count].data);
	assert_ok(hv_state_load(f.domain, &saved, &f.err), &f.err);
	hv_state_finish(&saved);
	fixture_destroy(&f);
}

static void test_bad_values_are_refused(void **unused)
{
	struct hv_state saved;
	struct hv_section *section;
	struct fixture f;
	uint8_t kept;

	(void)unused;
	fixture_start(&f, (struct hv_config){.vcpus = 1}, "count");
	fixture_pause(&f);
	assert_ok(hv_state_save(f.domain, &saved, &f.err), &f.err);
	section = find(&saved, "shape");
	section->data[0] ^= 1;
	load_must_fail(&f, &saved, "MiB");
	section->data[0] ^= 1;
	section = find(&saved, "msrs");
	kept = section->data[3];
	section->data[3] = 0x77; /* an MSR that nobody keeps */
	load_must_fail(&f, &saved, "sets MSR");
	section->data[3] = kept;
	section->size -= 8;
	load_must_fail(&f, &saved, "msrs");
	section->size += 8;
	section = find(&saved, "xcrs");
	memset(section->data, 0xff, 4);
	load_must_fail(&f, &saved, "xcrs");
	hv_state_finish(&saved);
	fixture_destroy(&f);
}

static struct kvm_cpuid_entry2 *leaf(struct hv_state *state, uint32_t function)
{
	struct hv_section *section = find(state, "cpuid");
	struct kvm_cpuid_entry2 *entries = (struct kvm_cpuid_entry2 *)section->data;

	for (uint32_t i = 0; i < section->size / sizeof(*entries); i++)
		if (entries[i].function == function)
			return &entries[i];
	fail_msg("there is no CPUID leaf 0x%x", function);
	return NULL;
}

/* The platform that was checked had no nested virtualisation, and neither has the vCPU. */
static void test_features_are_not_smuggled_in(void **unused)
{
	struct kvm_cpuid_entry2 *entry;
	struct hv_state saved;
	struct fixture from, to;

	(void)unused;
	fixture_start(&from, (struct hv_config){.vcpus = 1}, "count");
	fixture_pause(&from);
	assert_ok(hv_state_save(from.domain, &saved, &from.err), &from.err);
	fixture_create(&to, (struct hv_config){.vcpus = 1});
	entry = leaf(&saved, 1);
	entry->ecx |= 1u << 5; /* VMX */
	load_must_fail(&to, &saved, "CPU features in leaf 0x1");
	entry->flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX; /* where KVM still finds it */
	entry->index = 3;
	load_must_fail(&to, &saved, "CPU features in leaf 0x1");
	entry->flags &= ~KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	entry->index = 0;
	entry->ecx &= ~(1u << 5);
	entry = leaf(&saved, 7);
	entry->edx |= 1u << 24; /* AMX, in an entry of all indices */
	entry->flags &= ~KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	entry->index = 5;
	load_must_fail(&to, &saved, "CPU features in leaf 0x7");
	hv_state_finish(&saved);
	fixture_destroy(&from);
	fixture_destroy(&to);
}

/*
 * Random damage: a few bytes anywhere. What is loaded in spite of it is run, to see that a
 * guest in an absurd state at worst ends.
 */
static void test_damage_does_no_harm(void **unused)
{
	unsigned seed = 1, loaded = 0, refused = 0;
	struct hv_state saved;
	struct fixture f;

	(void)unused;
	fixture_start(&f, (struct hv_config){.vcpus = 1}, "count");
	wait_steps(&f, 0, 1000);
	fixture_pause(&f);
	assert_ok(hv_state_save(f.domain, &saved, &f.err), &f.err);
	for (unsigned round = 0; round < 400; round++) {
		struct hv_section *section = &saved.sections[(unsigned)rand_r(&seed) % saved.count];
		uint32_t at = section->size ? (unsigned)rand_r(&seed) % section->size : 0;
		uint8_t kept = section->size ? section->data[at] : 0;

		if (section->size)
			section->data[at] ^= (uint8_t)(1 << rand_r(&seed) % 8);
		if (hv_state_load(f.domain, &saved, &f.err) == 0) {
			loaded++;
			if (hv_resume(f.domain, &f.err) == 0)
				fixture_pause(&f);
		} else {
			refused++;
			assert_true(f.err.kind == XM_KIND_DATA);
		}
		if (section->size)
			section->data[at] = kept;
	}
	assert_true(loaded > 0 && refused > 0);
	assert_ok(hv_state_load(f.domain, &saved, &f.err), &f.err);
	hv_state_finish(&saved);
	fixture_destroy(&f);
}

struct tsc {
	uint64_t tsc, realtime_ns;
	uint32_t khz;
};

static struct tsc tsc_of(const struct hv_state *state, uint32_t vcpu)
{
	struct tsc tsc;

	memcpy(&tsc, hv_state_find(state, "tsc", vcpu)->data, sizeof(tsc));
	return tsc;
}

/* On a host whose kernel found its TSC unstable, KVM moves each vCPU's TSC whenever it is scheduled,
 * so that they are not in step. */
static bool stable(const struct hv_state *state)
{
	return tsc_of(state, 0).tsc == tsc_of(state, 1).tsc;
}

/* The TSC goes on by the time that passed, to within the time that loading takes. */
static void test_tsc_goes_on(void **unused)
{
	struct tsc before, after;
	struct hv_state saved, again;
	struct fixture from, to;
	int64_t elapsed, error;

	(void)unused;
	fixture_start(&from, (struct hv_config){.vcpus = VCPUS}, "count");
	fixture_pause(&from);
	assert_ok(hv_state_save(from.domain, &saved, &from.err), &from.err);
	fixture_create(&to, (struct hv_config){.vcpus = VCPUS});
	copy_memory(&from, &to);
	assert_ok(hv_state_load(to.domain, &saved, &to.err), &to.err);
	assert_ok(hv_state_save(to.domain, &again, &to.err), &to.err);
	before = tsc_of(&saved, 0);
	after = tsc_of(&again, 0);
	elapsed = (int64_t)(after.realtime_ns - before.realtime_ns);
	error = (int64_t)((after.tsc - before.tsc) * 1000000 / before.khz) - elapsed;
	assert_true(after.tsc > before.tsc);
	if (stable(&saved)) {
		assert_true(stable(&again));
		assert_true(error > -100000 && error < 100000);
	} else {
		print_message("this host's TSC is unstable: exactness is not checked\n");
	}
	before.realtime_ns = UINT64_MAX; /* this host's clock is behind: not backwards */
	memcpy(find(&saved, "tsc")->data, &before, sizeof(before));
	assert_ok(hv_state_load(to.domain, &saved, &to.err), &to.err);
	hv_state_finish(&again);
	assert_ok(hv_state_save(to.domain, &again, &to.err), &to.err);
	after = tsc_of(&again, 0);
	assert_true(after.tsc >= before.tsc);
	hv_state_finish(&saved);
	hv_state_finish(&again);
	fixture_destroy(&from);
	fixture_destroy(&to);
}

static void test_order_of_life(void **unused)
{
	struct hv_state saved;
	struct fixture f;

	(void)unused;
	fixture_start(&f, (struct hv_config){.vcpus = 1}, "command");
	assert_int_equal(hv_state_save(f.domain, &saved, &f.err), -EBUSY);
	fixture_send(&f, GUEST_EXIT, 0, 0);
	fixture_wait_end(&f);
	fixture_pause(&f);
	assert_int_equal(hv_state_save(f.domain, &saved, &f.err), -ESHUTDOWN);
	fixture_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves_in_mid_run),
		cmocka_unit_test(test_a_lost_register_is_noticed),
		cmocka_unit_test(test_devices_move),
		cmocka_unit_test(test_bad_lists_are_refused),
		cmocka_unit_test(test_bad_values_are_refused),
		cmocka_unit_test(test_features_are_not_smuggled_in),
		cmocka_unit_test(test_damage_does_no_harm),
		cmocka_unit_test(test_tsc_goes_on),
		cmocka_unit_test(test_order_of_life),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
