/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon/text.h"

#include <stddef.h>
#include <stdint.h>

/* How many bytes the well-formed UTF-8 character at `at` has; 0 when it is none. */
static size_t character_size(const unsigned char *at)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	uint32_t value;

	if (size == 1)
		return at[0] >= 0x20 && at[0] != 0x7f;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	value = at[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0; /* the text's end as well: NUL is no continuation */
		value = value << 6 | (at[i] & 0x3f);
	}
	if (value < smallest[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return size;
}

void xd_text_clean(char *text)
{
	while (*text) {
		size_t size = character_size((const unsigned char *)text);

		if (size == 0)
			*text = *text == '\n' || *text == '\t' ? ' ' : '?';
		text += size ? size : 1;
	}
}
