/* Modes, owners, times, and who may do what. */
#include "check.h"

void metadata(void) {
	close(make_file("f", "12345"));
	WORKS("chmod", chmod("f", 0751));
	HOLDS("changes the mode", (stat_of("f").st_mode & 07777) == 0751);
	WORKS("chmod of all bits", chmod("f", 07777));
	HOLDS("keeps set-user-ID, set-group-ID and sticky", (stat_of("f").st_mode & 07777) == 07777);
	WORKS("chown", chown("f", 1234, 4321));
	HOLDS("changes both owners", stat_of("f").st_uid == 1234 && stat_of("f").st_gid == 4321);
	HOLDS("takes set-user-ID away", (stat_of("f").st_mode & S_ISUID) == 0);
	WORKS("chown of one", chown("f", (uid_t)-1, 77));
	HOLDS("leaves the other", stat_of("f").st_uid == 1234 && stat_of("f").st_gid == 77);
	chmod("f", 06755);
	int fd = open("f", O_RDWR);
	pwrite(fd, "x", 1, 0);
	HOLDS("a write by root keeps set-user-ID", (stat_of("f").st_mode & S_ISUID) != 0);
	WORKS("fchmod", fchmod(fd, 0600));
	WORKS("fchown", fchown(fd, 0, 0));
	HOLDS("both seen by name", (stat_of("f").st_mode & 07777) == 0600 && stat_of("f").st_uid == 0);
	close(fd);
	mkdir("group", 0755);
	chown("group", 0, 55);
	chmod("group", 02755);
	close(make_file("group/x", ""));
	mkdir("group/y", 0755);
	HOLDS("a set-group-ID directory hands its group on", stat_of("group/x").st_gid == 55);
	HOLDS("and the bit to directories", (stat_of("group/y").st_mode & S_ISGID) != 0 && stat_of("group/y").st_gid == 55);
	umask(077);
	close(open("masked", O_CREAT | O_RDWR, 0666));
	mkdir("maskedd", 0777);
	HOLDS("umask applies", (stat_of("masked").st_mode & 0777) == 0600 && (stat_of("maskedd").st_mode & 0777) == 0700);
	umask(022);
	struct statx x;
	WORKS("statx", statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
	HOLDS("agrees with stat", x.stx_size == 5 && x.stx_ino == stat_of("f").st_ino && x.stx_nlink == 1);
	struct statvfs v;
	HOLDS("statvfs has blocks and names", statvfs(".", &v) == 0 && v.f_blocks > 0 && v.f_bfree > 0 && v.f_namemax == 255);
	HOLDS("a file with bytes has blocks", (fd = make_file("b", "x"), fsync(fd), close(fd), stat_of("b").st_blocks > 0));
}

static bool is_time(struct timespec t, time_t seconds, long nanoseconds) {
	return t.tv_sec == seconds && t.tv_nsec == nanoseconds;
}

void times(void) {
	close(make_file("f", "1"));
	struct timespec set[2] = {{1000000000, 123456789}, {1500000000, 987654321}};
	WORKS("utimensat", utimensat(AT_FDCWD, "f", set, 0));
	struct stat st = stat_of("f");
	HOLDS("sets the access time to the nanosecond", is_time(st.st_atim, 1000000000, 123456789));
	HOLDS("sets the modification time to the nanosecond", is_time(st.st_mtim, 1500000000, 987654321));
	struct timespec omit[2] = {{5, 0}, {0, UTIME_OMIT}};
	WORKS("UTIME_OMIT", utimensat(AT_FDCWD, "f", omit, 0));
	HOLDS("leaves the modification time", is_time(stat_of("f").st_mtim, 1500000000, 987654321) && is_time(stat_of("f").st_atim, 5, 0));
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	WORKS("UTIME_NOW", utimensat(AT_FDCWD, "f", now, 0));
	HOLDS("is about now", labs(stat_of("f").st_mtim.tv_sec - time(NULL)) <= 2);
	struct timespec far[2] = {{-1000, 5}, {4000000000, 7}};
	WORKS("times before 1970 and after 2106", utimensat(AT_FDCWD, "f", far, 0));
	HOLDS("come back", is_time(stat_of("f").st_atim, -1000, 5) && is_time(stat_of("f").st_mtim, 4000000000, 7));
	struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
	FAILS("a second of a thousand million nanoseconds", EINVAL, utimensat(AT_FDCWD, "f", bad, 0));
	symlink("f", "s");
	struct timespec link_time[2] = {{11, 0}, {22, 0}};
	WORKS("AT_SYMLINK_NOFOLLOW", utimensat(AT_FDCWD, "s", link_time, AT_SYMLINK_NOFOLLOW));
	HOLDS("sets the link's own time", stat_of("s").st_mtim.tv_sec == 22 && stat_of("f").st_mtim.tv_sec == 4000000000);
	utimensat(AT_FDCWD, "f", set, 0);
	int fd = open("f", O_RDWR);
	pwrite(fd, "22", 2, 0);
	HOLDS("a write moves the modification time", labs(stat_of("f").st_mtim.tv_sec - time(NULL)) <= 2);
	struct timespec times_fd[2] = {{33, 0}, {44, 0}};
	WORKS("futimens", futimens(fd, times_fd));
	HOLDS("is seen by name", stat_of("f").st_mtim.tv_sec == 44);
	fchmod(fd, 0600);
	HOLDS("chmod moves the change time only", stat_of("f").st_mtim.tv_sec == 44 && labs(stat_of("f").st_ctim.tv_sec - time(NULL)) <= 2);
	close(fd);
	HOLDS("closing leaves times that were set", stat_of("f").st_mtim.tv_sec == 44);
	mkdir("d", 0755);
	utimensat(AT_FDCWD, "d", link_time, 0);
	close(make_file("d/new", ""));
	HOLDS("a new name moves the directory's time", labs(stat_of("d").st_mtim.tv_sec - time(NULL)) <= 2);
	utimensat(AT_FDCWD, "d", link_time, 0);
	unlink("d/new");
	HOLDS("a removed one too", labs(stat_of("d").st_mtim.tv_sec - time(NULL)) <= 2);
}

/* Runs as an ordinary user; the rest of the program is root. */
static void as_user(void (*check)(void)) {
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		if (setgid(1000) != 0 || setuid(1000) != 0)
			_exit(3);
		check();
		fflush(stdout);
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	HOLDS("a child as an ordinary user", status == 0);
}

static void user_checks(void) {
	FAILS("reading another's 0600 file", EACCES, open("secret", O_RDONLY));
	FAILS("writing another's 0644 file", EACCES, open("public", O_WRONLY));
	WORKS("reading another's 0644 file", open("public", O_RDONLY));
	FAILS("chmod of another's file", EPERM, chmod("public", 0777));
	FAILS("chown of another's file", EPERM, chown("public", 1000, 1000));
	FAILS("giving one's own file away", EPERM, chown("mine", 0, 0));
	WORKS("chmod of one's own file", chmod("mine", 0600));
	FAILS("creating in another's 0755 directory", EACCES, open("x", O_CREAT | O_RDWR, 0644));
	FAILS("unlink in another's 0755 directory", EACCES, unlink("mine"));
	FAILS("unlink of another's file in a sticky directory", EPERM, unlink("sticky/theirs"));
	WORKS("creating in a sticky directory", open("sticky/own", O_CREAT | O_RDWR, 0644));
	HOLDS("the new file is one's own", stat_of("sticky/own").st_uid == 1000 && stat_of("sticky/own").st_gid == 1000);
	WORKS("mkdir there", mkdir("sticky/dir", 0755));
	HOLDS("is one's own as well", stat_of("sticky/dir").st_uid == 1000);
	WORKS("symlink there", symlink("own", "sticky/link"));
	HOLDS("and the link", stat_of("sticky/link").st_uid == 1000);
	FAILS("listing a directory without read", EACCES, open("closed", O_RDONLY | O_DIRECTORY));
	FAILS("through a directory without search", EACCES, access("closed/f", F_OK));
	int fd = open("mine", O_WRONLY);
	chmod("mine", 06755);
	HOLDS("a write takes set-user-ID away", write(fd, "x", 1) == 1 && (stat_of("mine").st_mode & S_ISUID) == 0);
	close(fd);
	HOLDS("access(2) for what is allowed and not", access("public", R_OK) == 0 && access("public", W_OK) != 0);
}

void permissions(void) {
	close(make_file("secret", "s"));
	chmod("secret", 0600);
	close(make_file("public", "p"));
	close(make_file("mine", "m"));
	chown("mine", 1000, 1000);
	mkdir("sticky", 0777);
	chmod("sticky", 01777);
	close(make_file("sticky/theirs", ""));
	mkdir("closed", 0700);
	close(make_file("closed/f", ""));
	as_user(user_checks);
	WORKS("root writes a file of mode 0", (close(make_file("zero", "")), chmod("zero", 0), open("zero", O_RDWR)));
}
