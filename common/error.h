/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors, the same way everywhere in xmigrate.
 *
 * A function that can fail returns 0 or a negative errno, and takes a
 * `struct xm_error *err` as its last parameter. The one sentence a person will read is
 * recorded once, where the cause is known, by xm_fail(); callers may put context before
 * it with xm_context(), and never replace it. Out-parameters are named `ret_...` and are
 * untouched on failure.
 *
 * The sentence says what failed, on what, why, and what to do next. Library folders
 * never print; tools/ prints, once, and turns the kind into the exit code.
 *
 * Threads: an xm_error belongs to one thread at a time. To hand an error to another
 * thread, copy the struct (it holds no pointers).
 */
#ifndef XM_COMMON_ERROR_H
#define XM_COMMON_ERROR_H

/*
 * What kind of failure, as a user tells them apart. The numbers are the exit codes of
 * every program (man page xmigrate(1), EXIT STATUS) and travel in the API's JSON as
 * the name, so they never change.
 */
enum xm_kind {
	XM_KIND_NONE = 0,
	XM_KIND_INTERNAL = 1,	 /* a defect in xmigrate, or memory exhausted */
	XM_KIND_USAGE = 2,	 /* the command line or an API request is wrong */
	XM_KIND_CONFIG = 3,	 /* a domain's config file, or its payload, is wrong */
	XM_KIND_NOT_FOUND = 4,	 /* no such domain, session or file */
	XM_KIND_CONFLICT = 5,	 /* it exists already, is busy, or is in the wrong state */
	XM_KIND_HOST = 6,	 /* this host cannot: no KVM, no permission, too little memory */
	XM_KIND_NETWORK = 7,	 /* a peer cannot be reached, or went away */
	XM_KIND_REFUSED = 8,	 /* the peer, or our own policy, declined; nothing was changed */
	XM_KIND_DATA = 9,	 /* bytes from outside are damaged, or break the protocol */
	XM_KIND_CANCELLED = 10,	 /* somebody asked for it */
	XM_KIND_STORAGE = 11,	 /* a file or disk failed, or is full */
	XM_KIND_UNRESOLVED = 12, /* who owns the domain is not known: `xmigrate resolve` */
};

#define XM_ERROR_TEXT_MAX 1024

struct xm_error {
	enum xm_kind kind;
	int code;		      /* the negative errno that was returned */
	char text[XM_ERROR_TEXT_MAX]; /* one or more sentences, NUL-terminated */
};

#define XM_ERROR_INIT                                                                              \
	{                                                                                          \
		.kind = XM_KIND_NONE                                                               \
	}

/*
 * Records a failure and returns `code`, so that a failing function can end in
 * `return xm_fail(err, ...)`. `code` is a negative errno (-EIO where none fits).
 * `err` may be NULL when the caller wants the code only. Text that does not fit is cut.
 */
int xm_fail(struct xm_error *err, enum xm_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As xm_fail(), and appends ": " and the text of errno -code ("No space left on device"). */
int xm_fail_errno(struct xm_error *err, enum xm_kind kind, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "context: " before a recorded sentence and returns err->code. */
int xm_context(struct xm_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "not-found" for XM_KIND_NOT_FOUND, and so on: the API's word. Never NULL. */
const char *xm_kind_name(enum xm_kind kind);

/* The kind with that name, or XM_KIND_INTERNAL for a name nobody knows. */
enum xm_kind xm_kind_from_name(const char *name);

#endif
