/* SPDX-License-Identifier: Apache-2.0
 * libargyle's interface, mirrored by src/helper/ffi.ts. Every function returns 0 or a descriptor, or
 * -errno; none blocks; all descriptors are close-on-exec. */
#ifndef ARGYLE_CLIENT_H
#define ARGYLE_CLIENT_H

int argyle_channel(int out[4]);
int argyle_submit(int control, const void *request, unsigned size, const int *fds, unsigned nfds);
int argyle_open_dir(const char *path);
int argyle_slot_fds(int dir_fd, const char *name, int out[5]);
int argyle_set_sched_slice(unsigned us);
int argyle_inbox(int dir_fd, const char *name);
int argyle_give(int dir_fd, const char *name, int fd);
int argyle_take(int inbox);

#endif
