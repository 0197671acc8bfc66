/* SPDX-License-Identifier: Apache-2.0 */
/* A scratch folder for one test. */
#ifndef XM_TESTS_TOOLS_FOLDER_H
#define XM_TESTS_TOOLS_FOLDER_H

/* A new folder below $TMPDIR or /tmp; the caller hands it to test_folder_remove(). */
char *test_folder_make(void);

/* Removes it with all that it holds, and frees the name. */
void test_folder_remove(char *path);

#endif
