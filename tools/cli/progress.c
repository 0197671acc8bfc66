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
#define PLAIN_LINE_NS XM_NS_PER_S

/* The figures of one OPERATION as texts. */
struct figures {
	uint64_t round;
	double done; /* share of memory that need not be sent again, 0 to 1 */
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

static void read_figures(const json_t *operation, struct figures *figures)
{
	const json_t *progress = json_object_get(operation, "progress");
	uint64_t memory = cli_count(progress, "memory_bytes");
	uint64_t remaining = cli_count(progress, "remaining_bytes");

	figures->round = cli_count(progress, "round");
	figures->done = memory && remaining < memory ? 1 - (double)remaining / (double)memory : 0;
	units_show_size(figures->sent, cli_count(progress, "wire_bytes"));
	units_show_size(figures->remaining, remaining);
	units_show_rate(figures->dirty_rate, cli_number(progress, "dirty_rate"));
	units_show_rate(figures->bandwidth, cli_number(progress, "bandwidth"));
	units_show_ms(figures->pause, cli_number(progress, "predicted_pause_ms"));
	units_show_ms(figures->eta, cli_number(progress, "eta_ms"));
	units_show_ms(figures->elapsed, cli_number(progress, "elapsed_ms"));
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

static void draw_block(struct progress *progress, const json_t *operation)
{
	const char *peer = cli_text(operation, "peer");
	struct figures figures;
	char bar[BAR_WIDTH + 1];
	char line[COLUMNS_MAX + 56];
	int filled;

	read_figures(operation, &figures);
	filled = (int)(figures.done * BAR_WIDTH);
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)filled);
	bar[BAR_WIDTH] = '\0';
	erase(progress);
	snprintf(line, sizeof(line), "%s %s %s %s: %s, round %llu, %s", cli_text(operation, "kind"),
		 cli_text(operation, "domain"),
		 strcmp(cli_text(operation, "kind"), "migrate") == 0 ? "to" : "-", peer,
		 cli_text(operation, "state"), (unsigned long long)figures.round, figures.elapsed);
	draw_line(progress, line);
	snprintf(line, sizeof(line), "[%s] %3d %%  remaining %s, ETA %s", bar,
		 (int)(figures.done * 100), figures.remaining, figures.eta);
	draw_line(progress, line);
	snprintf(line, sizeof(line), "sent %s at %s, dirtied at %s, pause about %s", figures.sent,
		 figures.bandwidth, figures.dirty_rate, figures.pause);
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

	read_figures(operation, &figures);
	if (!is_due(progress, operation, figures.round))
		return;
	cli_print_line(stderr,
		       "%s: %s, round %llu, sent %s, remaining %s, dirty rate %s, bandwidth %s, "
		       "predicted pause %s, ETA %s",
		       cli_text(operation, "domain"), cli_text(operation, "state"),
		       (unsigned long long)figures.round, figures.sent, figures.remaining,
		       figures.dirty_rate, figures.bandwidth, figures.pause, figures.eta);
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
