/*
 * What Linux programs expect of a file system, checked in the directory given as argument: once natively and once in a
 * guest on a share of the same file system, so that a difference is the share's.
 */
#include "check.h"

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
    {"names", names},       {"renames", renames},       {"links", links},     {"metadata", metadata},
    {"times", times},       {"permissions", permissions}, {"contents", contents}, {"space", space},
    {"directories", directories}, {"special", special}, {"attributes", attributes}, {"locks", locks},
    {"mappings", mappings},
};

static const char *group;
static int failures;

void report(const char *title, bool good, const char *found) {
	failures += !good;
	if (good)
		printf("ok %s: %s\n", group, title);
	else
		printf("not ok %s: %s: %s\n", group, title, found);
	fflush(stdout);
}

void report_call(const char *title, long result, int expected) {
	int code = result == -1 ? errno : 0;
	char found[128];
	snprintf(found, sizeof found, "%s instead of %s", code ? strerror(code) : "success",
		 expected ? strerror(expected) : "success");
	report(title, code == expected, found);
}

int make_file(const char *path, const char *text) {
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	size_t length = strlen(text);
	if (fd < 0 || write(fd, text, length) != (ssize_t)length) {
		perror(path);
		exit(2);
	}
	return fd;
}

struct stat stat_of(const char *path) {
	struct stat st;
	if (lstat(path, &st) != 0) {
		perror(path);
		exit(2);
	}
	return st;
}

int main(int argc, char **argv) {
	if (argc < 2 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: posix DIRECTORY\n");
		return 2;
	}
	umask(022);
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		group = groups[i].name;
		fflush(stdout);
		/* A process of its own: descriptors, locks and the working directory of one group are gone before the next. */
		pid_t child = fork();
		if (child == 0) {
			if (mkdir(group, 0755) != 0 || chdir(group) != 0)
				_exit(2);
			failures = 0;
			groups[i].run();
			fflush(stdout);
			_exit(failures > 0);
		}
		int status;
		waitpid(child, &status, 0);
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
			printf("not ok %s: runs to its end: wait status %#x\n", group, status);
	}
	return 0;
}
