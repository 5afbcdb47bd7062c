/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARGYLE_TEXT_H
#define ARGYLE_TEXT_H

#include <stddef.h>

/* Puts a copy of the read-only mapping that holds `inside` (text and constants of Python) into huge pages of the
 * zygote's own, at the same addresses. Returns how many bytes moved, 0 when none did: without whole huge pages in
 * it, or a kernel that makes none. For a process with one thread. */
size_t text_into_huge_pages(const void *inside);

#endif
