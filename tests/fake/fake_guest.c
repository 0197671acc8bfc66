// SPDX-License-Identifier: Apache-2.0
/*
 * The fake's guest. Step k (from 1) writes the page that a hash of k chooses, and each word of that page
 * is a function of k and its place; the registers are functions of the number of steps. Words are
 * stored one at a time, since the engine may be reading the page just then, as it would a real guest's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/fake/internal.h"

#define WORDS (HV_PAGE_SIZE / 8)

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* Half of each page repeats, so that it compresses. */
static uint64_t word_of(uint64_t value, unsigned place)
{
	if (value == 0)
		return 0;
	return place % 2 ? value : mix(value * WORDS + place);
}

static void fill(uint8_t *host, uint64_t value)
{
	uint64_t *words = (uint64_t *)host;

	for (unsigned i = 0; i < WORDS; i++)
		__atomic_store_n(&words[i], word_of(value, i), __ATOMIC_RELAXED);
}

static bool holds(const uint8_t *host, uint64_t value)
{
	const uint64_t *words = (const uint64_t *)host;

	for (unsigned i = 0; i < WORDS; i++)
		if (words[i] != word_of(value, i))
			return false;
	return true;
}

static uint64_t page_of(const struct fake_domain *fake, uint64_t step)
{
	uint64_t chosen = mix(step);

	if (fake->config.hot && chosen % 2)
		return (chosen >> 1) % fake->config.hot;
	return (chosen >> 1) % fake->config.working_set;
}

/* A page of the working set by its number: through the regions, one after the other. */
static uint8_t *locate(struct hv_domain *domain, uint64_t page, unsigned *ret_region,
		       uint64_t *ret_page)
{
	unsigned region = 0;

	while (page >= domain->regions[region].size >> HV_PAGE_SHIFT)
		page -= domain->regions[region++].size >> HV_PAGE_SHIFT;
	*ret_region = region;
	*ret_page = page;
	return domain->regions[region].host + page * HV_PAGE_SIZE;
}

static void register_values(uint64_t steps, unsigned vcpu, uint64_t *ret_values)
{
	ret_values[0] = mix(steps ^ vcpu);
	ret_values[1] = mix(ret_values[0]);
}

void fake_guest_registers(struct fake_domain *fake)
{
	for (unsigned i = 0; i < fake->domain.config.vcpus; i++)
		register_values(fake->steps, i, fake->registers[i]);
}

void fake_step(struct hv_domain *domain, uint64_t n)
{
	struct fake_domain *fake = fake_of(domain);
	unsigned region;
	uint64_t page;
	uint8_t *host;
	XM_LOCK_GUARD(&fake->lock);

	if (fake->paused || fake->config.working_set == 0)
		return;
	while (n--) {
		fake->steps++;
		host = locate(domain, page_of(fake, fake->steps), &region, &page);
		fill(host, fake->steps);
		fake_log_mark(fake, region, page, 1);
	}
	fake_guest_registers(fake);
}

uint64_t fake_steps(struct hv_domain *domain)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	return fake_of(domain)->steps;
}

void fake_write_unlogged(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	fill(domain->regions[region].host + page * HV_PAGE_SIZE, value);
}

void fake_write(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value)
{
	XM_LOCK_GUARD(&fake_of(domain)->lock);

	fill(domain->regions[region].host + page * HV_PAGE_SIZE, value);
	fake_log_mark(fake_of(domain), region, page, 1);
}

bool fake_holds(struct hv_domain *domain, unsigned region, uint64_t page, uint64_t value)
{
	return holds(domain->regions[region].host + page * HV_PAGE_SIZE, value);
}

static bool check_registers(struct fake_domain *fake, char *ret_what, size_t size)
{
	uint64_t expected[2];

	for (unsigned i = 0; i < fake->domain.config.vcpus; i++) {
		register_values(fake->steps, i, expected);
		if (memcmp(expected, fake->registers[i], sizeof(expected)) == 0)
			continue;
		snprintf(ret_what, size, "a register of vCPU %u is wrong after step %llu", i,
			 (unsigned long long)fake->steps);
		return false;
	}
	return true;
}

static bool check_pages(struct fake_domain *fake, const uint64_t *last, char *ret_what, size_t size)
{
	unsigned region;
	uint64_t page;

	for (uint64_t i = 0; i < fake->config.working_set; i++) {
		const uint8_t *host = locate(&fake->domain, i, &region, &page);

		if (last[i] == 0 || holds(host, last[i]))
			continue;
		snprintf(ret_what, size, "page %llu is not what step %llu made it, after step %llu",
			 (unsigned long long)i, (unsigned long long)last[i],
			 (unsigned long long)fake->steps);
		return false;
	}
	return true;
}

bool fake_check(struct hv_domain *domain, char *ret_what, size_t size)
{
	struct fake_domain *fake = fake_of(domain);
	cleanup_free uint64_t *last = calloc(fake->config.working_set + 1, sizeof(*last));
	XM_LOCK_GUARD(&fake->lock);

	if (!last) {
		snprintf(ret_what, size, "no memory to check with");
		return false;
	}
	for (uint64_t step = 1; step <= fake->steps && fake->config.working_set; step++)
		last[page_of(fake, step)] = step;
	return check_registers(fake, ret_what, size) && check_pages(fake, last, ret_what, size);
}

bool fake_same_memory(struct hv_domain *a, struct hv_domain *b, char *ret_what, size_t size)
{
	for (unsigned r = 0; r < a->region_count; r++) {
		uint64_t pages = a->regions[r].size >> HV_PAGE_SHIFT;

		for (uint64_t page = 0; page < pages; page++) {
			uint64_t offset = page * HV_PAGE_SIZE;

			if (memcmp(a->regions[r].host + offset, b->regions[r].host + offset,
				   HV_PAGE_SIZE) == 0)
				continue;
			snprintf(ret_what, size, "page %llu of region %u differs",
				 (unsigned long long)page, r);
			return false;
		}
	}
	return true;
}
