/* SPDX-License-Identifier: Apache-2.0 */
/* list and info: what domains there are, as xl prints it. */
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "tools/cli/cli.h"
#include "tools/cli/units.h"

static void print_header(void)
{
	printf("%-40s %5s %5s %5s  %-10s %8s\n", "Name", "ID", "Mem", "VCPUs", "State", "Time(s)");
}

static void print_row(const json_t *domain)
{
	cli_print_line(stdout, "%-40s %5llu %5llu %5llu  %-10s %8.1f", cli_text(domain, "name"),
		       (unsigned long long)cli_count(domain, "id"),
		       (unsigned long long)(cli_count(domain, "memory_bytes") >> 20),
		       (unsigned long long)cli_count(domain, "vcpus"), cli_text(domain, "state"),
		       cli_number(domain, "cpu_ns") / (double)XM_NS_PER_S);
}

static void print_text(const char *label, const char *text)
{
	cli_print_line(stdout, "%-11s: %s", label, text);
}

/* How many pages a vCPU has dirtied; not every way of logging knows. */
static void show_dirty(const json_t *vcpu, char ret_text[UNITS_TEXT_MAX])
{
	if (json_is_null(json_object_get(vcpu, "dirty_pages")))
		snprintf(ret_text, UNITS_TEXT_MAX, "-");
	else
		snprintf(ret_text, UNITS_TEXT_MAX, "%llu",
			 (unsigned long long)cli_count(vcpu, "dirty_pages"));
}

static void print_vcpus(const json_t *vcpus)
{
	const json_t *vcpu;
	size_t index;

	json_array_foreach((json_t *)vcpus, index, vcpu)
	{
		char run[UNITS_TEXT_MAX];
		char throttled[UNITS_TEXT_MAX];
		char dirty[UNITS_TEXT_MAX];

		units_show_ms(run, cli_number(vcpu, "run_ns") / (double)XM_NS_PER_MS);
		units_show_ms(throttled, cli_number(vcpu, "throttled_ns") / (double)XM_NS_PER_MS);
		show_dirty(vcpu, dirty);
		printf("vcpu %-6zu: ran %s, throttled %s, %llu exits, %s pages dirtied, ring "
		       "full %llu times\n",
		       index, run, throttled, (unsigned long long)cli_count(vcpu, "exits"), dirty,
		       (unsigned long long)cli_count(vcpu, "ring_full"));
	}
}

/* The configuration's lines, indented. */
static void print_config(const char *config)
{
	printf("%-11s:\n", "config");
	while (*config) {
		size_t length = strcspn(config, "\n");

		cli_print_line(stdout, "    %.*s", (int)length, config);
		config += length + (config[length] == '\n');
	}
}

static void print_all(struct cli *cli, const json_t *domain)
{
	char memory[UNITS_TEXT_MAX];
	char time[UNITS_TEXT_MAX];

	units_show_size(memory, cli_count(domain, "memory_bytes"));
	units_show_ms(time, cli_number(domain, "cpu_ns") / (double)XM_NS_PER_MS);
	print_text("name", cli_text(domain, "name"));
	print_text("uuid", cli_text(domain, "uuid"));
	printf("%-11s: %llu\n", "id", (unsigned long long)cli_count(domain, "id"));
	print_text("state", cli_text(domain, "state"));
	if (json_is_string(json_object_get(domain, "crash")))
		print_text("crash", cli_text(domain, "crash"));
	print_text("memory", memory);
	printf("%-11s: %llu\n", "vcpus", (unsigned long long)cli_count(domain, "vcpus"));
	print_text("cpu time", time);
	print_text("log-dirty", cli_text(domain, "log_dirty"));
	printf("%-11s: %llu\n", "owner epoch", (unsigned long long)cli_count(domain, "epoch"));
	print_text("created", cli_text(domain, "created_at"));
	printf("%-11s: %llu\n", "process", (unsigned long long)cli_count(domain, "pid"));
	print_text("console", cli_text(domain, "console"));
	if (json_is_string(json_object_get(domain, "operation")))
		print_text("operation", cli_text(domain, "operation"));
	print_vcpus(json_object_get(domain, "vcpu"));
	if (cli->verbose)
		print_config(cli_text(domain, "config"));
}

/* All domains, or those that were named, as the API's {"domains": [...]}. */
static int fetch(struct cli *cli, const struct cli_arguments *args, json_t **ret_list,
		 struct xm_error *err)
{
	json_t *domains;
	json_t *list = NULL;
	int rc = 0;

	if (args->words_count == 0)
		return cli_call(cli, "GET", "/v1/domains", NULL, 0, ret_list, err);
	list = json_pack("{s:[]}", "domains");
	domains = json_object_get(list, "domains");
	for (int i = 0; !rc && i < args->words_count; i++) {
		json_t *domain = NULL;

		rc = cli_call_domain(cli, "GET", args->words[i], "", NULL, 0, &domain, err);
		if (!rc && json_array_append_new(domains, domain) < 0)
			rc = xm_fail(err, XM_KIND_INTERNAL, -1, "out of memory");
	}
	if (rc)
		json_decref(list);
	else
		*ret_list = list;
	return rc;
}

int command_list(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	bool names = cli_option(args, "names");
	bool all = cli_option(args, "long");
	const json_t *domain;
	json_t *list = NULL;
	size_t index;
	int rc = fetch(cli, args, &list, err);

	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(list);
	else if (!names && !all)
		print_header();
	json_array_foreach(json_object_get(list, "domains"), index, domain)
	{
		if (cli->json)
			break;
		if (names)
			cli_print_line(stdout, "%s", cli_text(domain, "name"));
		else if (!all)
			print_row(domain);
		else
			print_all(cli, domain);
		if (all && index + 1 < json_array_size(json_object_get(list, "domains")))
			putchar('\n');
	}
	json_decref(list);
	return 0;
}

int command_info(struct cli *cli, const struct cli_arguments *args, struct xm_error *err)
{
	json_t *domain = NULL;
	int rc = cli_call_domain(cli, "GET", args->words[0], "", NULL, 0, &domain, err);

	if (rc)
		return rc;
	if (cli->json)
		cli_print_json(domain);
	else
		print_all(cli, domain);
	json_decref(domain);
	return 0;
}
