/* Reading directories, also while they change. */
#include "check.h"

static int count(const char *path, const char *prefix) {
	DIR *d = opendir(path);
	int found = 0;
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		found += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	if (d != NULL)
		closedir(d);
	return found;
}

static void make_many(const char *folder, int n) {
	mkdir(folder, 0755);
	char name[64];
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s/entry-%04d", folder, i);
		close(open(name, O_CREAT | O_RDWR, 0644));
	}
}

static void changing(void) {
	make_many("kept", 300);
	DIR *d = opendir("kept");
	char name[300];
	int stable = 0, seen = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL && seen < 2000; seen++) {
		stable += strncmp(e->d_name, "entry-", 6) == 0;
		snprintf(name, sizeof name, "kept/added-%d", seen);
		if (seen < 100)
			close(open(name, O_CREAT | O_RDWR, 0644));
	}
	HOLDS("entries that stay are each seen once while others are added", stable == 300);
	closedir(d);
	d = opendir("kept");
	seen = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "kept/%s", e->d_name);
		seen += unlink(name) == 0;
	}
	HOLDS("removing each entry as it is read removes all", seen == 400);
	closedir(d);
	WORKS("and the directory is empty", rmdir("kept"));
}

static void places(void) {
	make_many("many", 500);
	DIR *d = opendir("many");
	char names[20][32];
	for (int i = 0; i < 100; i++)
		readdir(d);
	long place = telldir(d);
	for (int i = 0; i < 20; i++)
		snprintf(names[i], 32, "%.31s", readdir(d)->d_name);
	seekdir(d, place);
	bool same = true;
	for (int i = 0; i < 20; i++)
		same = same && strcmp(names[i], readdir(d)->d_name) == 0;
	HOLDS("seekdir goes back to where telldir was", same);
	rewinddir(d);
	int again = 0;
	while (readdir(d) != NULL)
		again++;
	HOLDS("rewinddir starts over", again == 502);
	close(open("many/late", O_CREAT | O_RDWR, 0644));
	rewinddir(d);
	again = 0;
	while (readdir(d) != NULL)
		again++;
	HOLDS("and sees what is new", again == 503);
	closedir(d);
}

void directories(void) {
	make_many("plain", 50);
	HOLDS("fifty entries", count("plain", "entry-") == 50);
	HOLDS(". and .. are there", count("plain", ".") == 2);
	symlink("x", "plain/link");
	mkdir("plain/dir", 0755);
	mkfifo("plain/fifo", 0644);
	DIR *d = opendir("plain");
	bool types = true, inodes = true;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char name[300];
		snprintf(name, sizeof name, "plain/%s", e->d_name);
		struct stat st = stat_of(name);
		types = types && (e->d_type == DT_UNKNOWN || (mode_t)DTTOIF(e->d_type) == (st.st_mode & S_IFMT));
		inodes = inodes && (strcmp(e->d_name, "..") == 0 || e->d_ino == st.st_ino);
	}
	HOLDS("types are those of stat", types);
	HOLDS("inode numbers are those of stat", inodes);
	closedir(d);
	changing();
	places();
	mkdir("gone", 0755);
	int fd = open("gone", O_RDONLY | O_DIRECTORY);
	rmdir("gone");
	FAILS("creating in a removed directory", ENOENT, openat(fd, "x", O_CREAT | O_RDWR, 0644));
	char buffer[4096];
	HOLDS("a removed directory lists nothing or says so", syscall(SYS_getdents64, fd, buffer, sizeof buffer) <= 0 || errno == ENOENT || buffer[0] != 0);
	FAILS("getdents of a file", ENOTDIR, syscall(SYS_getdents64, make_file("file", ""), buffer, sizeof buffer));
}
