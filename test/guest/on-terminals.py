"""Runs a command with new pseudo-terminals at descriptors 3 and on, and prints what happened as JSON.

usage: on-terminals.py COUNT [--type INDEX TEXT AFTER] [--resize INDEX AFTER] -- COMMAND...
AFTER is text in the output of that terminal that triggers the action, once. A terminal has 30 rows of 100 characters, then 40 of 132.
"""
import fcntl, json, os, select, signal, struct, subprocess, sys, termios

count, actions, args = int(sys.argv[1]), [], sys.argv[2:]
while args[0] != "--":
    name, index = args.pop(0), int(args.pop(0))
    value = args.pop(0) if name == "--type" else ""
    actions.append((index, args.pop(0).encode(), name, value))
command = args[1:]


def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def state(fd):
    return termios.tcgetattr(fd), fcntl.fcntl(fd, fcntl.F_GETFL)


pairs = [os.openpty() for _ in range(count)]
for _, slave in pairs:
    size(slave, 30, 100)
before = [state(slave) for _, slave in pairs]


def place():
    # Above the range first: a descriptor that is to move may stand in the place of another.
    high = [fcntl.fcntl(slave, fcntl.F_DUPFD, 100) for _, slave in pairs]
    for at, fd in enumerate(high):
        os.dup2(fd, 3 + at)


child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         close_fds=False, preexec_fn=place)
masters = [master for master, _ in pairs]
output, raw, said = [b""] * count, [False] * count, b""
sources = masters + [child.stdout.fileno()]
while True:
    ready, _, _ = select.select(sources, [], [], 0.2)
    for fd in ready:
        data = os.read(fd, 65536)
        if fd in masters:
            output[masters.index(fd)] += data
        elif data:
            said += data
        else:
            sources.remove(fd)
    if not ready and child.poll() is not None:
        break
    for at, (_, slave) in enumerate(pairs):
        raw[at] = raw[at] or not termios.tcgetattr(slave)[3] & termios.ICANON
    for action in [a for a in actions if a[1] in output[a[0]]]:
        actions.remove(action)
        index, _, name, value = action
        if name == "--type":
            os.write(masters[index], value.encode())
        else:
            size(pairs[index][1], 40, 132)
            child.send_signal(signal.SIGWINCH)
print(json.dumps({
    "output": [text.decode() for text in output], "said": said.decode(), "code": child.returncode, "raw": raw,
    "restored": [state(slave) == was for (_, slave), was in zip(pairs, before)],
}))
