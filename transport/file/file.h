/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session whose other end is a file: one page channel, one way.
 *
 * The file holds the frames of channels 0 and 1 in the order in which they were sent, after the
 * stream header; so the first frame goes to channel 0.
 *
 * Reading keeps that order between the channels: a receive on the channel that the next frame does
 * not belong to waits until the other channel's reader has taken that frame with its payload. Two
 * threads, one per channel, therefore see the same as from a peer, and all pages before a SEAL have
 * been read when the SEAL is. At the end of the file both get -ENODATA.
 *
 * The file descriptor is borrowed: it must stay open until tp_destroy(), and is not closed by it.
 * Reading and writing go on at its current position. There is no idle timeout; tp_shutdown() wakes
 * those who wait for the other channel, and a system call that runs is left to end by itself. A
 * limit of the file's size (RLIMIT_FSIZE) is an error only for a program that ignores SIGXFSZ.
 */
#ifndef XM_TRANSPORT_FILE_FILE_H
#define XM_TRANSPORT_FILE_FILE_H

struct tp_session;
struct xm_error;

int tp_file_create(int fd, struct tp_session **ret_session, struct xm_error *err);
int tp_file_open(int fd, struct tp_session **ret_session, struct xm_error *err);

#endif
