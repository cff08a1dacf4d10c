/* Opening, creating, removing; what a path may be. */
#include "check.h"

static void opening(void) {
	int fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640);
	WORKS("O_CREAT|O_EXCL makes a file", fd);
	HOLDS("a new file has the mode asked for", (stat_of("new").st_mode & 07777) == 0640);
	HOLDS("a new file is empty and has one link", stat_of("new").st_size == 0 && stat_of("new").st_nlink == 1);
	FAILS("O_CREAT|O_EXCL on a file", EEXIST, open("new", O_RDWR | O_CREAT | O_EXCL, 0640));
	FAILS("a missing file", ENOENT, open("missing", O_RDONLY));
	FAILS("a missing directory on the way", ENOENT, open("missing/x", O_CREAT | O_RDWR, 0644));
	FAILS("a file as a directory on the way", ENOTDIR, open("new/x", O_RDONLY));
	FAILS("O_DIRECTORY on a file", ENOTDIR, open("new", O_RDONLY | O_DIRECTORY));
	FAILS("a directory to write", EISDIR, open(".", O_WRONLY));
	FAILS("a trailing slash on a file", ENOTDIR, open("new/", O_RDONLY));
	close(fd);
	close(make_file("full", "12345"));
	close(open("full", O_WRONLY | O_TRUNC));
	HOLDS("O_TRUNC empties a file", stat_of("full").st_size == 0);
	fd = open("full", O_WRONLY | O_APPEND);
	HOLDS("O_APPEND writes at the end", write(fd, "ab", 2) == 2 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "cd", 2) == 2 &&
						stat_of("full").st_size == 4);
	close(fd);
	fd = open("full", O_RDONLY);
	FAILS("writing to a descriptor opened to read", EBADF, write(fd, "x", 1));
	close(fd);
	fd = open("full", O_PATH);
	struct stat st;
	HOLDS("O_PATH can be asked for its attributes", fstat(fd, &st) == 0 && st.st_size == 4);
	close(fd);
}

static void long_names(void) {
	char name[300];
	memset(name, 'n', sizeof name);
	name[255] = 0;
	int fd = open(name, O_CREAT | O_RDWR, 0644);
	WORKS("a name of 255 bytes", fd);
	close(fd);
	WORKS("a name of 255 bytes goes away", unlink(name));
	name[255] = 'n', name[256] = 0;
	FAILS("a name of 256 bytes", ENAMETOOLONG, open(name, O_CREAT | O_RDWR, 0644));
	char path[PATH_MAX + 2];
	for (size_t i = 0; i < sizeof path - 1; i++)
		path[i] = i % 2 ? '/' : '.';
	path[sizeof path - 1] = 0;
	FAILS("a path longer than PATH_MAX", ENAMETOOLONG, open(path, O_RDONLY));
	fd = open("a b\n\"'\\*\xc5\xbe\xff", O_CREAT | O_RDWR, 0644);
	WORKS("a name of blanks, quotes, newline and bytes that are no UTF-8", fd);
	close(fd);
	WORKS("and it is found again", access("a b\n\"'\\*\xc5\xbe\xff", F_OK));
	FAILS("an empty path", ENOENT, open("", O_RDONLY));
}

static void deep(void) {
	char name[] = "deep";
	int levels = 0;
	for (; levels < 100; levels++)
		if (mkdir(name, 0755) != 0 || chdir(name) != 0)
			break;
	HOLDS("a hundred directories deep", levels == 100);
	char cwd[PATH_MAX];
	HOLDS("getcwd from there", getcwd(cwd, sizeof cwd) != NULL && strlen(cwd) > 500);
	for (; levels > 0; levels--)
		if (chdir("..") != 0 || rmdir(name) != 0)
			break;
	HOLDS("and up again", levels == 0);
}

static void removing(void) {
	int fd = make_file("gone", "still here");
	WORKS("unlink", unlink("gone"));
	FAILS("unlink again", ENOENT, unlink("gone"));
	char text[16] = "";
	struct stat st;
	HOLDS("an open file outlives its name", pread(fd, text, 10, 0) == 10 && memcmp(text, "still here", 10) == 0);
	HOLDS("and has no link", fstat(fd, &st) == 0 && st.st_nlink == 0);
	HOLDS("and can be written", pwrite(fd, "x", 1, 100) == 1 && fstat(fd, &st) == 0 && st.st_size == 101);
	WORKS("and its mode can be changed", fchmod(fd, 0600));
	WORKS("and it can be truncated", ftruncate(fd, 0));
	close(fd);
	mkdir("d", 0755);
	close(make_file("d/f", ""));
	FAILS("rmdir of a directory that is not empty", ENOTEMPTY, rmdir("d"));
	FAILS("rmdir of a file", ENOTDIR, rmdir("d/f"));
	FAILS("unlink of a directory", EISDIR, unlink("d"));
	FAILS("rmdir of .", EINVAL, rmdir("d/."));
	FAILS("rmdir of ..", ENOTEMPTY, rmdir("d/.."));
	unlink("d/f");
	WORKS("rmdir", rmdir("d"));
	FAILS("mkdir on a file", EEXIST, mkdir("new", 0755));
}

void names(void) {
	opening();
	long_names();
	deep();
	removing();
}
