/* SPDX-License-Identifier: Apache-2.0
 * Python's text in huge pages. A fork does not copy the page tables of file mappings, so the child takes a page fault
 * for each 64 KB of text that it runs. These are about 50 faults before its first answer, a fifth of all its faults. A
 * fork copies the page tables of anonymous memory, where a huge page is one entry (docs/adr/0006-cold-start.md). */
#include "hugetext.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define HUGE_PAGE (2ul << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

struct range {
  uintptr_t inside, from, to;
};

/* Finds the adjacent readable segments around range->inside that are not writable. */
static int find_object(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  struct range *range = data;
  uintptr_t from = 0, to = 0;
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W || !(segment->p_flags & PF_R)) continue;
    uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(PAGE - 1);
    uintptr_t end = (info->dlpi_addr + segment->p_vaddr + segment->p_memsz + PAGE - 1) & ~(PAGE - 1);
    if (start != to) from = start;
    to = end;
    if (range->inside >= from && range->inside < to) range->from = from, range->to = to;
  }
  return range->to != 0;
}

size_t text_into_huge_pages(const void *inside) {
  struct range range = {.inside = (uintptr_t)inside};
  if (dl_iterate_phdr(find_object, &range) == 0) return 0;
  uintptr_t from = (range.from + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), to = range.to & ~(HUGE_PAGE - 1);
  if (from >= to) return 0;
  size_t size = to - from, room = size + HUGE_PAGE;
  char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return 0;
  char *copy = (char *)(((uintptr_t)map + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
  memcpy(copy, (const void *)from, size);
  /* The copy is used only when all of its pages are huge: small pages would cost each fork more time than they save.
   * The copy is never writable and executable at once. Constants become executable, because two protections would split
   * a huge page. */
  bool moved = madvise(copy, size, MADV_COLLAPSE) == 0 && mprotect(copy, size, PROT_READ | PROT_EXEC) == 0 &&
               mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) != MAP_FAILED;
  munmap(map, (size_t)(copy - map));
  munmap(copy + size, room - size - (size_t)(copy - map));
  if (!moved) munmap(copy, size);
  return moved ? size : 0;
}
