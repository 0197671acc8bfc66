/* SPDX-License-Identifier: Apache-2.0 */
/* "Can this host run that": yes for what it described itself, and a list of what differs. */
#include <linux/kvm.h>

#include "tests/hypervisor/fixture.h"

static struct hv_state describe(void)
{
	struct hv_state platform;
	struct fixture f;

	fixture_create(&f, (struct hv_config){.vcpus = 2});
	assert_ok(hv_platform_describe(f.domain, &platform, &f.err), &f.err);
	fixture_destroy(&f);
	return platform;
}

static struct hv_section *find(struct hv_state *platform, const char *name)
{
	struct hv_section *section = (struct hv_section *)hv_state_find(platform, name, 0);

	assert_non_null(section);
	return section;
}

static struct kvm_cpuid_entry2 *leaf(struct hv_state *platform, uint32_t function, uint32_t index)
{
	struct hv_section *section = find(platform, "cpuid");
	struct kvm_cpuid_entry2 *entries = (struct kvm_cpuid_entry2 *)section->data;

	for (size_t i = 0; i < section->size / sizeof(*entries); i++)
		if (entries[i].function == function && entries[i].index == index)
			return &entries[i];
	fail_msg("no CPUID leaf 0x%x", function);
	return NULL;
}

static void test_same_host(void **state)
{
	struct hv_state platform = describe();
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	assert_ok(hv_platform_check(&platform, &err), &err);
	hv_state_finish(&platform);
}

static void expect_line(const struct xm_error *err, const char *line)
{
	if (!strstr(err->text, line))
		fail_msg("\"%s\" is not in: %s", line, err->text);
}

static void test_all_differences_are_listed(void **state)
{
	struct hv_state platform = describe();
	struct xm_error err = XM_ERROR_INIT;
	uint32_t msr = 0x12345678, vcpus = 1000, khz = 1;
	uint64_t memory = 3ull << 40;

	(void)state;
	leaf(&platform, 1, 0)->ecx |= 1u << 5; /* VMX, which nobody is offered, and has no name */
	leaf(&platform, 0x80000001, 0)->ecx |= 1u << 11; /* XOP, which only old CPUs have */
	leaf(&platform, 0, 0)->ebx ^= 1;
	memcpy(find(&platform, "msrs")->data, &msr, sizeof(msr));
	memcpy(find(&platform, "shape")->data, &memory, sizeof(memory));
	memcpy(find(&platform, "shape")->data + 8, &vcpus, sizeof(vcpus));
	memcpy(find(&platform, "tsc")->data, &khz, sizeof(khz));
	assert_int_equal(hv_platform_check(&platform, &err), -ENOTSUP);
	assert_int_equal(err.kind, XM_KIND_REFUSED);
	expect_line(&err, "CPUID 0x1.0 ecx bit 5");
	expect_line(&err, "lacks CPU feature xop");
	expect_line(&err, "of vendor");
	expect_line(&err, "MSR 0x12345678");
	expect_line(&err, "1000 vCPUs");
	expect_line(&err, "3145728 MiB");
	expect_line(&err, "1 kHz");
	hv_state_finish(&platform);
}

static void test_damaged_platforms(void **state)
{
	struct hv_state platform = describe();
	struct xm_error err = XM_ERROR_INIT;

	(void)state;
	for (uint32_t i = 0; i < platform.count; i++) {
		struct hv_section *section = &platform.sections[i];

		section->size--;
		assert_int_equal(hv_platform_check(&platform, &err), -EBADMSG);
		section->size++;
		section->version++;
		assert_int_equal(hv_platform_check(&platform, &err), -EBADMSG);
		section->version--;
		section->instance++;
		assert_int_equal(hv_platform_check(&platform, &err), -EBADMSG);
		assert_int_equal(err.kind, XM_KIND_DATA);
		section->instance--;
	}
	memset(find(&platform, "cpuid")->data, 0xff, find(&platform, "cpuid")->size);
	memset(find(&platform, "msrs")->data, 0xff, find(&platform, "msrs")->size);
	assert_int_equal(hv_platform_check(&platform, &err), -ENOTSUP);
	hv_state_finish(&platform);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_host),
		cmocka_unit_test(test_all_differences_are_listed),
		cmocka_unit_test(test_damaged_platforms),
	};

	test_require_kvm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
