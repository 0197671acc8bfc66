// SPDX-License-Identifier: Apache-2.0
#include "migrate/migrate.h"

const char *mig_state_name(enum mig_state state)
{
	switch (state) {
	case MIG_SETUP:
		return "setup";
	case MIG_NEGOTIATE:
		return "negotiate";
	case MIG_PRECOPY:
		return "pre-copy";
	case MIG_RECEIVING:
		return "receiving";
	case MIG_STOPCOPY:
		return "stop-and-copy";
	case MIG_PREPARE_WAIT:
		return "prepare-wait";
	case MIG_PREPARED:
		return "prepared";
	case MIG_COMMIT_SENT:
		return "commit-sent";
	case MIG_COMMITTED:
		return "committed";
	case MIG_ABORTED:
		return "aborted";
	case MIG_UNRESOLVED:
		return "unresolved";
	}
	return "unknown";
}
