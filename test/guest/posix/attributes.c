/* Extended attributes, locks, and mapped files. */
#include "check.h"

void attributes(void) {
	close(make_file("f", ""));
	char value[70000], big[70000];
	WORKS("setxattr", setxattr("f", "user.one", "value", 5, 0));
	HOLDS("getxattr", getxattr("f", "user.one", value, sizeof value) == 5 && memcmp(value, "value", 5) == 0);
	HOLDS("its length is told without a buffer", getxattr("f", "user.one", NULL, 0) == 5);
	FAILS("a buffer that is too short", ERANGE, getxattr("f", "user.one", value, 2));
	FAILS("a missing attribute", ENODATA, getxattr("f", "user.none", value, sizeof value));
	FAILS("XATTR_CREATE on one that is there", EEXIST, setxattr("f", "user.one", "x", 1, XATTR_CREATE));
	FAILS("XATTR_REPLACE of a missing one", ENODATA, setxattr("f", "user.two", "x", 1, XATTR_REPLACE));
	WORKS("an empty value", setxattr("f", "user.empty", "", 0, 0));
	HOLDS("stays empty", getxattr("f", "user.empty", value, sizeof value) == 0);
	ssize_t length = listxattr("f", value, sizeof value);
	HOLDS("listxattr has both", length > 0 && memmem(value, (size_t)length, "user.one", 9) && memmem(value, (size_t)length, "user.empty", 11));
	WORKS("removexattr", removexattr("f", "user.one"));
	FAILS("removexattr again", ENODATA, removexattr("f", "user.one"));
	memset(big, 'b', sizeof big);
	FAILS("a value over 64 KiB", E2BIG, setxattr("f", "user.big", big, 65537, 0));
	HOLDS("a value of 1500 bytes", setxattr("f", "user.big", big, 1500, 0) == 0 && getxattr("f", "user.big", value, sizeof value) == 1500);
	FAILS("an unknown name space", EOPNOTSUPP, setxattr("f", "nonsense.x", "x", 1, 0));
	symlink("f", "s");
	FAILS("user attributes of a symbolic link", EPERM, lsetxattr("s", "user.x", "x", 1, 0));
	mkdir("d", 0755);
	WORKS("of a directory", setxattr("d", "user.d", "x", 1, 0));
	WORKS("trusted attributes as root", setxattr("f", "trusted.t", "x", 1, 0));
	WORKS("file capabilities", setxattr("f", "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
	int fd = open("f", O_RDWR);
	HOLDS("a write removes file capabilities", write(fd, "x", 1) == 1 && getxattr("f", "security.capability", value, sizeof value) < 0);
	HOLDS("fgetxattr", fgetxattr(fd, "user.big", value, sizeof value) == 1500);
	close(fd);
}

static int in_child(int (*try)(void)) {
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		_exit(try());
	int status;
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_flock(void) { return flock(open("f", O_RDWR), LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }

static int try_range(void) {
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
	return fcntl(open("f", O_RDWR), F_SETLK, &l) == 0 ? 0 : errno;
}

static int try_elsewhere(void) {
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 200, .l_len = 10};
	return fcntl(open("f", O_RDWR), F_SETLK, &l) == 0 ? 0 : errno;
}

void locks(void) {
	int fd = make_file("f", "");
	WORKS("flock", flock(fd, LOCK_EX));
	HOLDS("keeps another process out", in_child(try_flock) == EWOULDBLOCK);
	flock(fd, LOCK_UN);
	HOLDS("until it is released", in_child(try_flock) == 0);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
	WORKS("a lock of a range", fcntl(fd, F_SETLK, &l));
	HOLDS("keeps others out of the range", in_child(try_range) == EAGAIN);
	HOLDS("and nowhere else", in_child(try_elsewhere) == 0);
	int second = open("f", O_RDWR);
	close(second);
	HOLDS("closing any descriptor of the file releases it", in_child(try_range) == 0);
	struct flock o = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	WORKS("an open file description lock", fcntl(fd, F_OFD_SETLK, &o));
	HOLDS("keeps others out", in_child(try_range) == EAGAIN);
}

void mappings(void) {
	size_t size = 40960;
	int fd = make_file("f", "");
	ftruncate(fd, (off_t)size);
	char *one = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	HOLDS("a shared mapping", one != MAP_FAILED);
	if (one == MAP_FAILED)
		return;
	char *two = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0), back[16] = "";
	memcpy(one + 5000, "mapped", 6);
	HOLDS("two mappings are one memory", memcmp(two + 5000, "mapped", 6) == 0);
	HOLDS("read sees what a mapping wrote", pread(fd, back, 6, 5000) == 6 && memcmp(back, "mapped", 6) == 0);
	pwrite(fd, "written", 7, 9000);
	HOLDS("a mapping sees what write wrote", memcmp(one + 9000, "written", 7) == 0);
	pid_t child = fork();
	if (child == 0) {
		memcpy(one + 100, "child", 5);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	HOLDS("processes share it", memcmp(two + 100, "child", 5) == 0);
	WORKS("msync", msync(one, size, MS_SYNC));
	close(fd);
	memcpy(one, "late", 4);
	WORKS("munmap", munmap(one, size));
	munmap(two, size);
	fd = open("f", O_RDONLY);
	HOLDS("a mapping outlives its descriptor", pread(fd, back, 4, 0) == 4 && memcmp(back, "late", 4) == 0);
	char *private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	memcpy(private, "mine", 4);
	HOLDS("a private mapping keeps its writes", pread(fd, back, 4, 0) == 4 && memcmp(back, "late", 4) == 0);
	FAILS("a shared writable mapping of a file opened to read", EACCES,
	      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	munmap(private, size);
	close(fd);
	fd = make_file("short", "abc");
	char *tail = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	HOLDS("after the end of the file a page is zero", tail[0] == 'a' && tail[3] == 0 && tail[4095] == 0);
	ftruncate(fd, 1);
	HOLDS("a mapping sees a truncation", tail[0] == 'a' && tail[1] == 0);
	unlink("short");
	HOLDS("a mapping outlives the name", tail[0] == 'a');
}
