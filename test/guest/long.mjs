// Long checks of guests by hand: whole test suites and stressors. usage: node test/guest/long.mjs [stress|python|all]
// Each line of output is one check; what fails prints its last lines. Needs stress-ng, or Python with its test package.
import { MicroVm } from '../../dist/index.js';

/** stress-ng classes of stressors whose --verify means something on one CPU, without network and without devices. */
const STRESSORS =
  'atomic bad-altstack bigheap bsearch cache chdir chmod chown clock clone context copy-file crypt daemon dentry dir dup epoll eventfd exec fallocate fault fcntl fiemap fifo file-ioctl filename flock fork fp fp-error fpunch fsize funccall funcret futex get getdent getrandom hash heapsort hrtimers icache itimer judy jpeg kill lease link list locka lockf lockofd longjmp loop madvise malloc matrix matrix-3d memcpy memfd memrate mergesort mincore mlock mmap mmapfixed mmapfork mmaphuge mprotect mq mremap msg msync munmap mutex nanosleep nop null open opcode pageswap pci pidfd pipe pipeherd poll prctl prefetch pthread ptrace qsort radixsort randlist regs rename revio ring-pipe rlimit rmap rtc schedpolicy seal seccomp seek sem sem-sysv set shellsort shm shm-sysv sigabrt sigchld sigfd sigfpe sigio signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap skiplist sleep sock sockpair softlockup sparsematrix splice stack stackmmap str stream switch symlink sync-file syncload sysfs sysinfo tee timer timerfd tmpfs touch tree tsc tsearch unshare urandom userfaultfd usersyscall utime vdso vecfp vecmath vecshuf vecwide vfork vforkmany vm vm-addr vm-splice wait wcs x86syscall xattr yield zero zlib'.split(
    ' ',
  );

/** CPython's own tests of what depends on the CPU, the kernel and the file system. */
const PYTHON =
  'test_math test_cmath test_float test_complex test_struct test_long test_int test_fractions test_decimal test_statistics test_random test_array test_zlib test_bz2 test_lzma test_gzip test_tarfile test_zipfile test_hashlib test_hmac test_binascii test_json test_re test_unicode test_strtod test_set test_dict test_list test_sort test_gc test_generators test_coroutines test_exceptions test_compile test_signal test_mmap test_fcntl test_posix test_os test_threading test_thread test_faulthandler test_subprocess test_time test_datetime test_select test_epoll test_socket test_ctypes test_sqlite3 test_shutil test_tempfile test_glob test_pathlib test_io test_file test_largefile test_multiprocessing_fork test_asyncio test_resource test_pty test_ioctl'.split(
    ' ',
  );

const set = process.argv[2] ?? 'all';
if (set === 'all' || set === 'stress') {
  await check(
    STRESSORS,
    (name) => `stress-ng --${name} 1 --${name}-ops 3 --timeout 20 --verify --temp-path /tmp --oomable`,
  );
}
if (set === 'all' || set === 'python') await check(PYTHON, (name) => `python3 -m test -q ${name}`);

/** Runs every check in one guest; a check that does not end in ten minutes fails. */
async function check(names, commandOf) {
  const jobs = names.map((name) => {
    const command = commandOf(name);
    return `timeout 600 ${command} >/tmp/log 2>&1 </dev/null && echo "ok ${name}" || { echo "not ok ${name}: status $?"; tail -n 6 /tmp/log; }`;
  });
  const vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 1024,
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8', PYTHONDONTWRITEBYTECODE: '1' },
    command: ['/bin/sh', '-c', ['mount -t tmpfs tmpfs /tmp', 'cd /tmp', ...jobs].join('\n')],
  });
  for await (const chunk of vm.stdout) process.stdout.write(chunk);
  const { reason, code, consoleTail } = await vm.exited;
  if (reason !== 'exited' || code !== 0) console.log(`the guest ended: ${reason} ${code}\n${consoleTail}`);
}
