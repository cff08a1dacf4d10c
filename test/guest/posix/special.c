/* Files that are not plain: FIFOs, sockets, devices, files without a name. */
#include "check.h"

static void unnamed(void) {
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	WORKS("O_TMPFILE", fd);
	if (fd < 0)
		return;
	struct stat st;
	HOLDS("has no link", fstat(fd, &st) == 0 && st.st_nlink == 0);
	HOLDS("takes bytes", write(fd, "temporary", 9) == 9);
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	WORKS("gets a name from linkat", linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	HOLDS("and is the file", access("named", F_OK) == 0 && stat_of("named").st_size == 9);
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	FAILS("O_TMPFILE|O_EXCL gets none", ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "other", AT_SYMLINK_FOLLOW));
	close(fd);
}

static void fifo(void) {
	WORKS("mkfifo", mkfifo("fifo", 0644));
	HOLDS("is a FIFO", S_ISFIFO(stat_of("fifo").st_mode));
	FAILS("opened to write with no reader", ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	pid_t child = fork();
	if (child == 0) {
		int fd = open("fifo", O_WRONLY);
		_exit(write(fd, "through", 7) != 7);
	}
	char text[8] = "";
	int fd = open("fifo", O_RDONLY), status;
	HOLDS("carries bytes between processes", read(fd, text, 7) == 7 && strcmp(text, "through") == 0);
	waitpid(child, &status, 0);
	close(fd);
}

static void unix_socket(void) {
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	WORKS("bind of a UNIX socket", bind(server, (struct sockaddr *)&address, sizeof address));
	HOLDS("makes a socket", access("socket", F_OK) == 0 && S_ISSOCK(stat_of("socket").st_mode));
	listen(server, 1);
	WORKS("connect through the name", connect(client, (struct sockaddr *)&address, sizeof address));
	FAILS("bind again", EADDRINUSE, bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
	FAILS("open of a socket", ENXIO, open("socket", O_RDWR));
}

void special(void) {
	unnamed();
	fifo();
	unix_socket();
	WORKS("mknod of a character device", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	if (access("null", F_OK) == 0)
		HOLDS("keeps its number", S_ISCHR(stat_of("null").st_mode) && stat_of("null").st_rdev == makedev(1, 3));
	WORKS("mknod of a plain file", mknod("plain", S_IFREG | 0600, 0));
	WORKS("rename of a FIFO", rename("fifo", "fifo2"));
	WORKS("unlink of a socket", unlink("socket"));
	close(make_file("program", "#!/bin/sh\nexit 3\n"));
	chmod("program", 0755);
	int status = system("./program");
	HOLDS("a script can be executed", WIFEXITED(status) && WEXITSTATUS(status) == 3);
	int fd = open("program", O_WRONLY);
	HOLDS("but not while it is open to write", (status = system("./program 2>/dev/null"), WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 3));
	close(fd);
}
