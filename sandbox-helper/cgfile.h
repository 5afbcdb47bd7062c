/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARGYLE_CGFILE_H
#define ARGYLE_CGFILE_H

#include "helper.h"

/* All are relative to an open directory and follow no link; errno tells why one failed. */
int put(int dir_fd, const char *path, const char *text);
int put_number(int dir_fd, const char *path, uint64_t number, const char *if_zero);
ssize_t get(int dir_fd, const char *path, char *text, size_t size);
bool read_number(int dir_fd, const char *path, const char *key, uint64_t *value);
uint64_t get_number(int dir_fd, const char *path, const char *key);
const char *after_word(const char *text, const char *word, char before);
int open_dir(int dir_fd, const char *path);
int make_dir(int dir_fd, const char *name);

extern const char *const controller_name[CTL_COUNT];

#endif
