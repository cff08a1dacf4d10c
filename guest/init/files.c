/* Whole small files. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns the content with a NUL added, or NULL with errno; EFBIG above `max` bytes. */
char *read_file_at(int dir, const char *path, size_t max, size_t *length) {
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  size_t n = 0, cap = 4096;
  char *bytes = must_alloc(cap + 1);
  for (;;) {
    ssize_t got = read(fd, bytes + n, cap - n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || (n += (size_t)got) > max) {
      int error = got < 0 ? errno : got ? EFBIG : 0;
      close(fd);
      bytes[n <= cap ? n : cap] = 0;
      if (length) *length = n;
      errno = error;
      if (!error) return bytes;
      free(bytes);
      return NULL;
    }
    if (n == cap) {
      char *larger = must_alloc(cap * 4 + 1);
      memcpy(larger, bytes, n);
      free(bytes);
      bytes = larger;
      cap *= 4;
    }
  }
}
