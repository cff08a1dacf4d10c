/* What is written is what is read; sizes, holes and reserved space. */
#include "check.h"

static unsigned char pattern(size_t i) { return (unsigned char)(i * 31 + (i >> 8) * 7 + 1); }

void contents(void) {
	size_t size = 1200000;
	unsigned char *data = malloc(size), *back = malloc(size);
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(i);
	int fd = make_file("big", "");
	size_t done = 0, step = 1;
	while (done < size) {
		size_t part = step < size - done ? step : size - done;
		ssize_t wrote = write(fd, data + done, part);
		if (wrote <= 0)
			break;
		done += (size_t)wrote;
		step = step * 3 + 1;
	}
	HOLDS("writes of growing length", done == size && stat_of("big").st_size == (off_t)size);
	WORKS("fsync", fsync(fd));
	WORKS("fdatasync", fdatasync(fd));
	HOLDS("read back at once", pread(fd, back, size, 0) == (ssize_t)size && memcmp(data, back, size) == 0);
	HOLDS("read at odd offsets", pread(fd, back, 70001, 12345) == 70001 && memcmp(data + 12345, back, 70001) == 0);
	HOLDS("a read across the end is short", pread(fd, back, 100, (off_t)size - 10) == 10);
	HOLDS("a read past the end is empty", pread(fd, back, 100, (off_t)size + 10) == 0);
	struct iovec parts[3] = {{back, 10}, {back + 10, 5000}, {back + 5010, 1}};
	HOLDS("preadv", preadv(fd, parts, 3, 777) == 5011 && memcmp(back, data + 777, 5011) == 0);
	HOLDS("pwritev", pwritev(fd, parts, 3, 2000000) == 5011 && stat_of("big").st_size == 2005011);
	HOLDS("the gap reads as zeros", pread(fd, back, 4096, 1500000) == 4096 && back[0] == 0 && memcmp(back, back + 1, 4095) == 0);
	WORKS("truncate shorter", truncate("big", 1000));
	WORKS("truncate longer", truncate("big", 9000));
	HOLDS("what was cut off is zero", pread(fd, back, 9000, 0) == 9000 && memcmp(back, data, 1000) == 0 && back[1000] == 0 &&
					      memcmp(back + 1000, back + 1001, 7999) == 0);
	FAILS("truncate to less than nothing", EINVAL, truncate("big", -1));
	FAILS("truncate of a directory", EISDIR, truncate(".", 0));
	int other = open("big", O_RDONLY);
	pwrite(fd, "seen", 4, 5000);
	HOLDS("another descriptor sees a write", pread(other, back, 4, 5000) == 4 && memcmp(back, "seen", 4) == 0);
	FAILS("ftruncate of a descriptor opened to read", EINVAL, ftruncate(other, 0));
	close(other);
	off_t from = 0, to = 0;
	int copy = make_file("copy", "");
	pwrite(fd, data, size, 0);
	size_t copied = 0;
	ssize_t part;
	while ((part = syscall(SYS_copy_file_range, fd, &from, copy, &to, size - copied, 0)) > 0)
		copied += (size_t)part;
	HOLDS("copy_file_range", copied == size && pread(copy, back, size, 0) == (ssize_t)size && memcmp(back, data, size) == 0);
	close(fd);
	int direct = open("big", O_RDONLY | O_DIRECT);
	void *page = NULL;
	HOLDS("O_DIRECT reads", direct < 0 || (posix_memalign(&page, 4096, 8192) == 0 && pread(direct, page, 8192, 4096) == 8192 &&
					       memcmp(page, data + 4096, 8192) == 0));
	fd = make_file("appended", "");
	close(fd);
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			int mine = open("appended", O_WRONLY | O_APPEND);
			for (int n = 0; n < 50; n++)
				if (write(mine, "0123456789\n", 11) != 11)
					_exit(1);
			_exit(0);
		}
	}
	int status, bad = 0;
	while (wait(&status) > 0)
		bad |= status;
	HOLDS("four processes that append lose nothing", bad == 0 && stat_of("appended").st_size == 4 * 50 * 11);
	free(data);
	free(back);
}

void space(void) {
	int fd = make_file("f", "");
	WORKS("fallocate", fallocate(fd, 0, 0, 100000));
	HOLDS("makes the file longer", stat_of("f").st_size == 100000);
	WORKS("FALLOC_FL_KEEP_SIZE", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 300000));
	HOLDS("does not", stat_of("f").st_size == 100000 && stat_of("f").st_blocks >= 580);
	char *ones = malloc(100000), *back = malloc(100000);
	memset(ones, 1, 100000);
	pwrite(fd, ones, 100000, 0);
	fsync(fd);
	WORKS("FALLOC_FL_PUNCH_HOLE", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 40960));
	HOLDS("reads as zeros there", pread(fd, back, 100000, 0) == 100000 && back[8191] == 1 && back[8192] == 0 &&
					 back[49151] == 0 && back[49152] == 1);
	WORKS("FALLOC_FL_ZERO_RANGE", fallocate(fd, FALLOC_FL_ZERO_RANGE, 60000, 100));
	HOLDS("zeros just that", pread(fd, back, 100000, 0) == 100000 && back[59999] == 1 && back[60000] == 0 && back[60100] == 1);
	FAILS("fallocate of no length", EINVAL, fallocate(fd, 0, 0, 0));
	close(fd);
	fd = make_file("holes", "");
	ftruncate(fd, 1 << 20);
	pwrite(fd, ones, 4096, 262144);
	pwrite(fd, ones, 4096, 786432);
	fsync(fd);
	HOLDS("SEEK_DATA finds the first data", lseek(fd, 0, SEEK_DATA) == 262144);
	HOLDS("SEEK_HOLE finds its end", lseek(fd, 262144, SEEK_HOLE) == 266240);
	HOLDS("SEEK_DATA finds the next", lseek(fd, 266240, SEEK_DATA) == 786432);
	FAILS("SEEK_DATA after the last", ENXIO, lseek(fd, 900000, SEEK_DATA));
	FAILS("SEEK_HOLE past the end", ENXIO, lseek(fd, 2 << 20, SEEK_HOLE));
	HOLDS("SEEK_END", lseek(fd, -5, SEEK_END) == (1 << 20) - 5);
	FAILS("SEEK_SET before the start", EINVAL, lseek(fd, -1, SEEK_SET));
	HOLDS("a sparse file is sparse", stat_of("holes").st_blocks <= 64);
	HOLDS("a file of 1 TiB", ftruncate(fd, 1LL << 40) == 0 && pwrite(fd, "end", 3, (1LL << 40) - 3) == 3 &&
				     pread(fd, back, 10, (1LL << 40) - 3) == 3 && memcmp(back, "end", 3) == 0);
	close(fd);
	free(ones);
	free(back);
}
