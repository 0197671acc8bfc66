/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/cli/cli.h"
#include "tools/cli/units.h"

#define BAR_WIDTH     40
#define COLUMNS_MIN   20
#define COLUMNS_MAX   200
#define LINE_SIZE     512
#define PLAIN_LINE_NS XM_NS_PER_S

/* The figures of one OPERATION as texts; "" where there is nothing to say yet, or any more. */
struct figures {
	uint64_t round;
	const char *verb; /* what `sent` was: sent, read or received */
	double done;	  /* share of memory that need not be sent again, 0 to 1 */
	char sent[UNITS_TEXT_MAX];
	char remaining[UNITS_TEXT_MAX];
	char dirty_rate[UNITS_TEXT_MAX];
	char bandwidth[UNITS_TEXT_MAX];
	char pause[UNITS_TEXT_MAX];
	char eta[UNITS_TEXT_MAX];
	char elapsed[UNITS_TEXT_MAX];
};

void progress_init(struct progress *progress, bool silent)
{
	*progress = (struct progress){.silent = silent, .terminal = isatty(STDERR_FILENO)};
}

/* Whether pages are being copied: before and after that, most figures mean nothing. */
static bool is_copying(const json_t *operation)
{
	const char *state = cli_text(operation, "state");

	return strcmp(state, "pre-copy") == 0 || strcmp(state, "receiving") == 0 ||
	       strcmp(state, "stop-and-copy") == 0;
}

static void read_figures(const json_t *operation, struct figures *ret_figures)
{
	const json_t *progress = json_object_get(operation, "progress");
	uint64_t memory = cli_count(progress, "memory_bytes");
	uint64_t remaining = cli_count(progress, "remaining_bytes");
	struct figures figures = {.round = cli_count(progress, "round")};
	const char *kind = cli_text(operation, "kind");

	figures.verb = strcmp(kind, "restore") == 0    ? "read"
		       : strcmp(kind, "incoming") == 0 ? "received"
						       : "sent";

	units_show_ms(figures.elapsed, cli_number(progress, "elapsed_ms"));
	if (figures.round > 0) {
		units_show_size(figures.sent, cli_count(progress, "wire_bytes"));
		figures.done =
			memory && remaining < memory ? 1 - (double)remaining / (double)memory : 0;
	}
	if (figures.round > 0 && is_copying(operation)) {
		units_show_size(figures.remaining, remaining);
		if (cli_number(progress, "dirty_rate") > 0)
			units_show_rate(figures.dirty_rate, cli_number(progress, "dirty_rate"));
		if (cli_number(progress, "bandwidth") > 0)
			units_show_rate(figures.bandwidth, cli_number(progress, "bandwidth"));
		if (cli_number(progress, "predicted_pause_ms") > 0)
			units_show_ms(figures.pause, cli_number(progress, "predicted_pause_ms"));
		if (cli_number(progress, "eta_ms") > 0)
			units_show_ms(figures.eta, cli_number(progress, "eta_ms"));
	}
	*ret_figures = figures;
}

/* Appends ", label value" unless the value is empty; ", " only where something stands before it. */
static void add_figure(char *line, size_t size, const char *label, const char *value)
{
	size_t used = strlen(line);

	if (value[0])
		snprintf(line + used, size - used, "%s%s %s", used ? ", " : "", label, value);
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	if (size.ws_col < COLUMNS_MIN)
		return COLUMNS_MIN;
	return size.ws_col > COLUMNS_MAX ? COLUMNS_MAX : size.ws_col;
}

/* One line of the block, cut at the terminal's edge: a wrapped line could not be redrawn. */
static void draw_line(struct progress *progress, const char *text)
{
	char cut[COLUMNS_MAX];

	snprintf(cut, sizeof(cut), "%.*s", columns() - 1, text);
	cli_print_clean(stderr, cut);
	fputs("\033[K\n", stderr);
	progress->lines++;
}

static void erase(struct progress *progress)
{
	if (progress->lines > 0)
		fprintf(stderr, "\033[%dA\r\033[J", progress->lines);
	progress->lines = 0;
}

/* "migrate web1 to host2:4411: pre-copy, round 3, 1.20 s" */
static void draw_head(struct progress *progress, const json_t *operation,
		      const struct figures *figures)
{
	const char *kind = cli_text(operation, "kind");
	bool from = strcmp(kind, "restore") == 0 || strcmp(kind, "incoming") == 0;
	char line[LINE_SIZE];
	size_t used;

	snprintf(line, sizeof(line), "%s %s %s %s: %s", kind, cli_text(operation, "domain"),
		 from ? "from" : "to", cli_text(operation, "peer"), cli_text(operation, "state"));
	used = strlen(line);
	if (figures->round > 0)
		snprintf(line + used, sizeof(line) - used, ", round %llu",
			 (unsigned long long)figures->round);
	used = strlen(line);
	snprintf(line + used, sizeof(line) - used, ", %s", figures->elapsed);
	draw_line(progress, line);
}

static void draw_block(struct progress *progress, const json_t *operation)
{
	struct figures figures;
	char bar[BAR_WIDTH + 1];
	char line[LINE_SIZE];

	read_figures(operation, &figures);
	erase(progress);
	draw_head(progress, operation, &figures);
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)(figures.done * BAR_WIDTH));
	bar[BAR_WIDTH] = '\0';
	snprintf(line, sizeof(line), "[%s] %3d %%", bar, (int)(figures.done * 100));
	add_figure(line, sizeof(line), "remaining", figures.remaining);
	add_figure(line, sizeof(line), "ETA", figures.eta);
	draw_line(progress, line);
	line[0] = '\0';
	add_figure(line, sizeof(line), figures.verb, figures.sent);
	add_figure(line, sizeof(line), "bandwidth", figures.bandwidth);
	add_figure(line, sizeof(line), "dirty rate", figures.dirty_rate);
	add_figure(line, sizeof(line), "predicted pause", figures.pause);
	draw_line(progress, line);
	fflush(stderr);
}

/* Whether a plain line is due: something changed, or a second has passed. */
static bool is_due(struct progress *progress, const json_t *operation, uint64_t round)
{
	const char *state = cli_text(operation, "state");
	uint64_t now = xm_now_ns();

	if (strcmp(state, progress->state) == 0 && round == progress->round &&
	    now - progress->printed_at_ns < PLAIN_LINE_NS)
		return false;
	snprintf(progress->state, sizeof(progress->state), "%s", state);
	progress->round = round;
	progress->printed_at_ns = now;
	return true;
}

static void print_plain(struct progress *progress, const json_t *operation)
{
	struct figures figures;
	char line[LINE_SIZE];
	char round[UNITS_TEXT_MAX] = "";

	read_figures(operation, &figures);
	/* The end is said by the summary or by the error. */
	if (json_is_true(json_object_get(operation, "finished")) ||
	    !is_due(progress, operation, figures.round))
		return;
	if (figures.round > 0)
		snprintf(round, sizeof(round), "%llu", (unsigned long long)figures.round);
	snprintf(line, sizeof(line), "%s: %s", cli_text(operation, "domain"),
		 cli_text(operation, "state"));
	add_figure(line, sizeof(line), "round", round);
	add_figure(line, sizeof(line), figures.verb, figures.sent);
	add_figure(line, sizeof(line), "remaining", figures.remaining);
	add_figure(line, sizeof(line), "dirty rate", figures.dirty_rate);
	add_figure(line, sizeof(line), "bandwidth", figures.bandwidth);
	add_figure(line, sizeof(line), "predicted pause", figures.pause);
	add_figure(line, sizeof(line), "ETA", figures.eta);
	cli_print_line(stderr, "%s", line);
}

void progress_show(struct progress *progress, const json_t *operation)
{
	if (progress->silent)
		return;
	if (progress->terminal)
		draw_block(progress, operation);
	else
		print_plain(progress, operation);
}

void progress_say(struct progress *progress, const char *fmt, ...)
{
	va_list args;

	if (progress->silent)
		return;
	erase(progress);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void progress_end(struct progress *progress)
{
	erase(progress);
	fflush(stderr);
}
