/* Hard and symbolic links. */
#include "check.h"

static void hard(void) {
	close(make_file("f", "text"));
	WORKS("link", link("f", "g"));
	HOLDS("both names are one file", stat_of("f").st_ino == stat_of("g").st_ino && stat_of("f").st_nlink == 2);
	int fd = open("g", O_RDWR);
	HOLDS("a write through one is seen through the other", pwrite(fd, "longer text", 11, 0) == 11 && stat_of("f").st_size == 11);
	close(fd);
	FAILS("link over a name", EEXIST, link("f", "g"));
	FAILS("link of a missing file", ENOENT, link("missing", "h"));
	mkdir("d", 0755);
	FAILS("link of a directory", EPERM, link("d", "e"));
	WORKS("unlink of one name", unlink("f"));
	HOLDS("leaves the other", stat_of("g").st_nlink == 1);
	symlink("g", "s");
	WORKS("link of a symbolic link itself", linkat(AT_FDCWD, "s", AT_FDCWD, "s2", 0));
	HOLDS("makes a symbolic link", S_ISLNK(stat_of("s2").st_mode));
	WORKS("AT_SYMLINK_FOLLOW links its target", linkat(AT_FDCWD, "s", AT_FDCWD, "t", AT_SYMLINK_FOLLOW));
	HOLDS("makes a file", S_ISREG(stat_of("t").st_mode));
}

static void symbolic(void) {
	char buffer[PATH_MAX + 1];
	WORKS("symlink to nothing", symlink("nowhere", "dangling"));
	FAILS("opening it", ENOENT, open("dangling", O_RDONLY));
	FAILS("O_NOFOLLOW", ELOOP, open("dangling", O_RDONLY | O_NOFOLLOW));
	FAILS("O_CREAT|O_EXCL does not follow it", EEXIST, open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644));
	HOLDS("readlink says where it points", readlink("dangling", buffer, sizeof buffer) == 7 && memcmp(buffer, "nowhere", 7) == 0);
	HOLDS("readlink into a short buffer cuts", readlink("dangling", buffer, 3) == 3);
	HOLDS("its size is the target's length", stat_of("dangling").st_size == 7);
	WORKS("O_CREAT makes the target", open("dangling", O_CREAT | O_RDWR, 0644));
	WORKS("which is there", access("nowhere", F_OK));
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	FAILS("a loop", ELOOP, open("loop1", O_RDONLY));
	FAILS("a loop on the way", ELOOP, open("loop1/x", O_RDONLY));
	FAILS("symlink over a name", EEXIST, symlink("x", "loop1"));
	FAILS("readlink of a file", EINVAL, readlink("nowhere", buffer, sizeof buffer));
	memset(buffer, 't', PATH_MAX);
	buffer[PATH_MAX - 1] = 0;
	WORKS("a target of 4095 bytes", symlink(buffer, "long"));
	char back[PATH_MAX + 1];
	HOLDS("is read back whole", readlink("long", back, sizeof back) == PATH_MAX - 1 && memcmp(back, buffer, PATH_MAX - 1) == 0);
	char previous[32] = "nowhere", name[32];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "chain%d", i);
		symlink(previous, name);
		strcpy(previous, name);
	}
	WORKS("a chain of 40 links", open("chain39", O_RDONLY));
	symlink("chain39", "chain40");
	FAILS("a chain of 41", ELOOP, open("chain40", O_RDONLY));
	mkdir("dir", 0755);
	symlink("dir", "todir");
	close(make_file("dir/inside", ""));
	WORKS("through a link to a directory", access("todir/inside", F_OK));
	FAILS("rmdir of a link", ENOTDIR, rmdir("todir"));
	WORKS("unlink of a link to a directory", unlink("todir"));
	WORKS("leaves the directory", access("dir/inside", F_OK));
	WORKS("lchown of a link", lchown("loop1", 12, 34));
	HOLDS("changes the link", stat_of("loop1").st_uid == 12 && stat_of("loop1").st_gid == 34);
}

void links(void) {
	hard();
	symbolic();
}
