/* rename and its flags. */
#include "check.h"

static bool holds(const char *path, const char *text) {
	char buffer[64] = "";
	int fd = open(path, O_RDONLY);
	ssize_t got = read(fd, buffer, sizeof buffer - 1);
	close(fd);
	return got == (ssize_t)strlen(text) && strcmp(buffer, text) == 0;
}

static void files(void) {
	close(make_file("a", "A"));
	close(make_file("b", "B"));
	ino_t inode = stat_of("a").st_ino;
	WORKS("over a file", rename("a", "b"));
	HOLDS("the target is the source", holds("b", "A") && stat_of("b").st_ino == inode);
	FAILS("the old name is gone", ENOENT, access("a", F_OK));
	FAILS("a missing source", ENOENT, rename("a", "b"));
	WORKS("a file to itself", rename("b", "b"));
	link("b", "same");
	WORKS("one link of a file to another", rename("b", "same"));
	HOLDS("leaves both", access("b", F_OK) == 0 && access("same", F_OK) == 0);
	unlink("same");
	int fd = open("b", O_RDWR);
	rename("b", "moved");
	HOLDS("a descriptor follows its file", write(fd, "Z", 1) == 1 && holds("moved", "Z"));
	close(fd);
}

static void folders(void) {
	mkdir("d", 0755);
	mkdir("d/in", 0755);
	mkdir("empty", 0755);
	mkdir("full", 0755);
	close(make_file("full/x", "x"));
	close(make_file("file", "f"));
	FAILS("a directory over a file", ENOTDIR, rename("d", "file"));
	FAILS("a file over a directory", EISDIR, rename("file", "d"));
	FAILS("a directory over one that is not empty", ENOTEMPTY, rename("d", "full"));
	FAILS("a directory into itself", EINVAL, rename("d", "d/in/x"));
	WORKS("a directory over an empty one", rename("d", "empty"));
	HOLDS("takes its content along", access("empty/in", F_OK) == 0);
	nlink_t before = stat_of("full").st_nlink;
	WORKS("a directory into another", rename("empty", "full/moved"));
	HOLDS("adds to the link count if there is one", stat_of("full").st_nlink == before + 1 || stat_of("full").st_nlink == before);
	WORKS("a directory back, out of it", rename("full/moved/in", "out"));
	int fd = open("out", O_RDONLY | O_DIRECTORY);
	rename("out", "away");
	WORKS("a descriptor follows its directory", openat(fd, "made", O_CREAT | O_RDWR, 0644));
	WORKS("which has the new name", access("away/made", F_OK));
	close(fd);
}

static void flags(void) {
	close(make_file("one", "1"));
	close(make_file("two", "2"));
	FAILS("RENAME_NOREPLACE over a file", EEXIST, rename2("one", "two", RENAME_NOREPLACE));
	HOLDS("changes nothing", holds("one", "1") && holds("two", "2"));
	WORKS("RENAME_NOREPLACE to a new name", rename2("one", "three", RENAME_NOREPLACE));
	WORKS("RENAME_EXCHANGE of files", rename2("three", "two", RENAME_EXCHANGE));
	HOLDS("swaps them", holds("three", "2") && holds("two", "1"));
	mkdir("folder", 0755);
	WORKS("RENAME_EXCHANGE of a file and a directory", rename2("folder", "two", RENAME_EXCHANGE));
	HOLDS("swaps them too", S_ISDIR(stat_of("two").st_mode) && S_ISREG(stat_of("folder").st_mode));
	FAILS("RENAME_EXCHANGE with a missing name", ENOENT, rename2("two", "missing", RENAME_EXCHANGE));
	FAILS("both flags", EINVAL, rename2("two", "three", RENAME_EXCHANGE | RENAME_NOREPLACE));
	FAILS("an unknown flag", EINVAL, rename2("two", "three", 1u << 30));
}

void renames(void) {
	files();
	folders();
	flags();
}
