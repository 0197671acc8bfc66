/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "transport/tcp/internal.h"

static int unreadable(const char *text, struct xm_error *err)
{
	return xm_fail(err, XM_KIND_USAGE, -EINVAL,
		       "'%.200s' is not an address; write HOST, HOST:PORT, or [IPV6]:PORT", text);
}

static bool port_is_valid(const char *port)
{
	size_t digits = strspn(port, "0123456789");

	return digits > 0 && digits <= 5 && port[digits] == '\0' && atoi(port) <= 65535;
}

/* Finds where the host ends and the port begins (NULL: there is none). */
static int split(const char *text, const char **ret_host, size_t *ret_host_size,
		 const char **ret_port)
{
	const char *colon = strchr(text, ':');
	const char *port = NULL;
	const char *host = text;
	size_t size = strlen(text);

	if (text[0] == '[') {
		const char *close = strchr(text, ']');

		if (!close || (close[1] != '\0' && close[1] != ':'))
			return -EINVAL;
		host = text + 1;
		size = (size_t)(close - host);
		port = close[1] == ':' ? close + 2 : NULL;
	} else if (colon && !strchr(colon + 1, ':')) {
		size = (size_t)(colon - text);
		port = colon + 1;
	} /* with two colons it is an IPv6 address, without a port */
	*ret_host = host;
	*ret_host_size = size;
	*ret_port = port;
	return 0;
}

int tp_address_parse(const char *text, struct tp_address *ret_address, struct xm_error *err)
{
	struct tp_address address = {0};
	const char *host;
	const char *port;
	size_t size;

	if (split(text, &host, &size, &port) || size == 0 || size >= sizeof(address.host))
		return unreadable(text, err);
	if (port && !port_is_valid(port))
		return unreadable(text, err);
	memcpy(address.host, host, size);
	snprintf(address.port, sizeof(address.port), "%d", port ? atoi(port) : TP_TCP_PORT);
	*ret_address = address;
	return 0;
}

int tp_address_resolve(const struct tp_address *address, bool passive, struct addrinfo **ret_list,
		       struct xm_error *err)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
	};
	bool any = passive && strcmp(address->host, "*") == 0;
	int rc = getaddrinfo(any ? NULL : address->host, address->port, &hints, ret_list);

	if (rc == 0)
		return 0;
	return xm_fail(err, XM_KIND_NETWORK, -EHOSTUNREACH,
		       "The host name '%s' has no address (%s); check its spelling, or write an IP "
		       "address",
		       address->host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
}

void tp_address_format(const struct sockaddr *address, socklen_t size,
		       char ret_text[TP_ADDRESS_TEXT_MAX])
{
	char host[256];
	char port[8];

	if (getnameinfo(address, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(ret_text, TP_ADDRESS_TEXT_MAX, "(an address of family %d)",
			 address->sa_family);
	else
		snprintf(ret_text, TP_ADDRESS_TEXT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s",
			 host, port);
}
