/* A file-system check is one line of output: "ok TITLE" or "not ok TITLE: what was found". */
#pragma once
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* glibc and musl disagree on who declares these. */
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#endif
#ifndef FALLOC_FL_ZERO_RANGE
#define FALLOC_FL_ZERO_RANGE 16
#endif

/* Each group starts in an empty directory of its own. */
void names(void);
void renames(void);
void links(void);
void metadata(void);
void times(void);
void permissions(void);
void contents(void);
void space(void);
void directories(void);
void special(void);
void attributes(void);
void locks(void);
void mappings(void);

void report(const char *title, bool good, const char *found);
void report_call(const char *title, long result, int expected_errno);

/* The call must succeed. */
#define WORKS(title, call) report_call(title, (errno = 0, (long)(call)), 0)
/* The call must fail with this errno. */
#define FAILS(title, code, call) report_call(title, (errno = 0, (long)(call)), code)
/* The condition must hold. */
#define HOLDS(title, condition) report(title, condition, #condition)

/* Both end the program when they fail: a check cannot go on without them. */
int make_file(const char *path, const char *text);
struct stat stat_of(const char *path);

static inline int rename2(const char *from, const char *to, unsigned flags) {
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}
