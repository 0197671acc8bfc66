/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib/control.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"

/* Room for one packet of the greatest size, and the kernel's own overhead. */
#define SEND_BUFFER_BYTES (XT_PACKET_MAX + (64 << 10))
#define CONNECT_TIMEOUT_S 10
#define DESCRIPTORS_MAX	  8 /* looked at in one packet, so that those not wanted can be closed */

/* -------------------------------------------------------------------------- sockets */

/*
 * The address of a path of any length: its folder is opened, and named through /proc. The folder stays
 * open until the caller has used the address.
 */
static int address_of(const char *path, struct sockaddr_un *ret_address, int *ret_folder,
		      struct xm_error *err)
{
	cleanup_free char *for_folder = strdup(path);
	cleanup_free char *for_name = strdup(path);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int folder;
	int length;

	if (!for_folder || !for_name)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	folder = open(dirname(for_folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return xm_fail_errno(err, errno == ENOENT ? XM_KIND_NOT_FOUND : XM_KIND_HOST,
				     -errno, "cannot open the folder of %s", path);
	length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder,
			  basename(for_name));
	if ((size_t)length >= sizeof(address.sun_path)) {
		close(folder);
		return xm_fail(err, XM_KIND_HOST, -ENAMETOOLONG,
			       "the socket's name is too long: %s", path);
	}
	*ret_address = address;
	*ret_folder = folder;
	return 0;
}

static int new_socket(int type, int *ret_fd, struct xm_error *err)
{
	int bytes = SEND_BUFFER_BYTES;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	*ret_fd = fd;
	return 0;
}

int xt_socket_listen(const char *path, int type, int *ret_fd, struct xm_error *err)
{
	cleanup_close int folder = -1;
	cleanup_close int fd = -1;
	struct sockaddr_un address;
	int rc;

	rc = address_of(path, &address, &folder, err);
	if (!rc)
		rc = new_socket(type, &fd, err);
	if (rc)
		return rc;
	/* The mode is set before listen(), so that nobody connects in between. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, 64) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot listen on %s", path);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

int xt_socket_connect(const char *path, int type, int *ret_fd, struct xm_error *err)
{
	struct timeval limit = {.tv_sec = CONNECT_TIMEOUT_S};
	cleanup_close int folder = -1;
	cleanup_close int fd = -1;
	struct sockaddr_un address;
	int rc;

	rc = address_of(path, &address, &folder, err);
	if (!rc)
		rc = new_socket(type, &fd, err);
	if (rc)
		return rc;
	/* A peer that is stopped accepts nobody, and its queue is full one day. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do
		rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return xm_fail(err, XM_KIND_NOT_FOUND, rc, "nobody listens on %s", path);
	if (rc)
		return xm_fail_errno(err, XM_KIND_HOST, rc, "cannot connect to %s", path);
	*ret_fd = xm_steal_fd(&fd);
	return 0;
}

int xt_socket_pair(int ret_fds[2], struct xm_error *err)
{
	int bytes = SEND_BUFFER_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return xm_fail_errno(err, XM_KIND_HOST, -errno, "cannot make a socket pair");
	setsockopt(ret_fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(ret_fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

/* -------------------------------------------------------------------------- sending */

/* One descriptor's worth of ancillary data, aligned as the kernel wants it. */
union one_descriptor {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void attach_descriptor(struct msghdr *message, union one_descriptor *control, int fd)
{
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->bytes;
	message->msg_controllen = sizeof(control->bytes);
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

static int send_packet(int socket, const json_t *packet, int fd, int flags, struct xm_error *err)
{
	cleanup_free char *text = json_dumps(packet, JSON_COMPACT);
	union one_descriptor control;
	struct msghdr message = {0};
	struct iovec part;
	ssize_t sent;

	if (!text)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	part = (struct iovec){.iov_base = text, .iov_len = strlen(text)};
	if (part.iov_len > XT_PACKET_MAX)
		return xm_fail(err, XM_KIND_USAGE, -EMSGSIZE, "a packet of %zu bytes is too long",
			       part.iov_len);
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	if (fd >= 0)
		attach_descriptor(&message, &control, fd);
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return xm_fail_errno(err, XM_KIND_NETWORK, -errno, "cannot send a packet");
	return 0;
}

int xt_packet_send(int socket, const json_t *packet, int fd, struct xm_error *err)
{
	return send_packet(socket, packet, fd, 0, err);
}

int xt_packet_try_send(int socket, const json_t *packet, struct xm_error *err)
{
	return send_packet(socket, packet, -1, MSG_DONTWAIT, err);
}

/* ------------------------------------------------------------------------ receiving */

/* Keeps the first descriptor and closes the others; returns how many there were. */
static unsigned take_descriptors(struct msghdr *message, int *ret_fd)
{
	unsigned count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t bytes = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
			if (count++ == 0)
				*ret_fd = fd;
			else
				close(fd);
		}
	}
	return count;
}

static int parse_packet(const char *text, size_t size, json_t **ret_packet, struct xm_error *err)
{
	json_error_t reason;
	json_t *packet = json_loadb(text, size, JSON_REJECT_DUPLICATES, &reason);

	if (!packet)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "a packet is not JSON: %s",
			       reason.text);
	if (!json_is_object(packet)) {
		json_decref(packet);
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "a packet is not a JSON object");
	}
	*ret_packet = packet;
	return 0;
}

int xt_packet_receive(int socket, json_t **ret_packet, int *ret_fd, struct xm_error *err)
{
	cleanup_free char *text = malloc(XT_PACKET_MAX);
	cleanup_close int fd = -1;
	union {
		char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec part = {.iov_base = text, .iov_len = XT_PACKET_MAX};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t got;
	int rc;

	if (!text)
		return xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return xm_fail_errno(err, XM_KIND_NETWORK, -errno, "cannot receive a packet");
	if (take_descriptors(&message, &fd) > 1)
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "a packet has several descriptors");
	if (got == 0)
		return xm_fail(err, XM_KIND_NETWORK, -ENODATA, "the other end closed");
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return xm_fail(err, XM_KIND_DATA, -EBADMSG, "a packet is longer than %u bytes",
			       XT_PACKET_MAX);
	rc = parse_packet(text, (size_t)got, ret_packet, err);
	if (!rc && ret_fd)
		*ret_fd = xm_steal_fd(&fd);
	return rc;
}

/* --------------------------------------------------------------- errors and requests */

json_t *xt_json_text(const char *text)
{
	json_t *json = json_string(text);
	cleanup_free char *copy = NULL;

	if (json)
		return json;
	copy = strdup(text);
	for (char *at = copy; at && *at; at++)
		if (*at & 0x80)
			*at = '?';
	return copy ? json_string(copy) : NULL;
}

json_t *xt_error_to_json(const struct xm_error *error)
{
	return json_pack("{ss so}", "kind", xm_kind_name(error->kind), "text",
			 xt_json_text(error->text));
}

int xt_error_from_json(const json_t *json, struct xm_error *ret_error)
{
	const char *kind = json_string_value(json_object_get(json, "kind"));
	const char *text = json_string_value(json_object_get(json, "text"));

	if (!kind || !text)
		return xm_fail(ret_error, XM_KIND_INTERNAL, -EPROTO,
			       "the other end reported an error without saying which");
	return xm_fail(ret_error, xm_kind_from_name(kind), -EREMOTEIO, "%s", text);
}

static int wait_for_answer(int socket, json_int_t id, json_t **ret_answer, struct xm_error *err)
{
	for (;;) {
		json_t *packet;
		int rc = xt_packet_receive(socket, &packet, NULL, err);

		if (rc)
			return rc;
		if (json_integer_value(json_object_get(packet, "id")) == id) {
			*ret_answer = packet;
			return 0;
		}
		json_decref(packet);
	}
}

int xt_call(int socket, const char *call, const json_t *arguments, int fd, json_t **ret_result,
	    struct xm_error *err)
{
	json_t *request = arguments ? json_copy((json_t *)arguments) : json_object();
	json_t *answer = NULL;
	json_t *result;
	int rc;

	if (!request || json_object_set_new(request, "id", json_integer(1)) ||
	    json_object_set_new(request, "call", json_string(call)))
		rc = xm_fail(err, XM_KIND_INTERNAL, -ENOMEM, "out of memory");
	else
		rc = xt_packet_send(socket, request, fd, err);
	json_decref(request);
	if (!rc)
		rc = wait_for_answer(socket, 1, &answer, err);
	if (rc)
		return rc;
	result = json_object_get(answer, "result");
	if (!result)
		rc = xt_error_from_json(json_object_get(answer, "error"), err);
	else if (ret_result)
		*ret_result = json_incref(result);
	json_decref(answer);
	return rc;
}
