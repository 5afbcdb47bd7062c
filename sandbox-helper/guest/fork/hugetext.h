/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARGYLE_HUGETEXT_H
#define ARGYLE_HUGETEXT_H

#include <stddef.h>

/* Copies the read-only mapping around `inside` (Python's text and constants) into anonymous huge pages at the same
 * addresses. Returns the number of bytes, or 0 when the mapping spans no whole huge page or the kernel makes none. The
 * process must have one thread. */
size_t text_into_huge_pages(const void *inside);

#endif
