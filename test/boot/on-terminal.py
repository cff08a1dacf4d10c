"""Runs a command on a new pseudo-terminal of 100 x 30 and prints what happened as JSON.

usage: on-terminal.py [--type TEXT AFTER] [--resize AFTER] [--kill AFTER] -- COMMAND...
AFTER is text of the output that triggers the action, once.
"""
import fcntl, json, os, select, signal, struct, subprocess, sys, termios

actions, args = [], sys.argv[1:]
while args[0] != "--":
    name = args.pop(0)
    values = [args.pop(0) for _ in range(2 if name == "--type" else 1)]
    actions.append((name, values[-1].encode(), values[0]))
command = args[1:]

master, slave = os.openpty()
size = lambda rows, columns: fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
size(30, 100)
before = termios.tcgetattr(slave)
child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
output, raw = b"", False
while True:
    ready, _, _ = select.select([master], [], [], 0.2)
    if ready:
        output += os.read(master, 65536)
    elif child.poll() is not None:
        break
    raw = raw or not termios.tcgetattr(slave)[3] & termios.ICANON
    for action in [a for a in actions if a[1] in output]:
        actions.remove(action)
        name, _, value = action
        if name == "--type":
            os.write(master, value.encode())
        elif name == "--resize":
            size(40, 132)
            os.killpg(child.pid, signal.SIGWINCH)
        else:
            child.send_signal(signal.SIGTERM)
after = termios.tcgetattr(slave)
print(json.dumps({"output": output.decode(), "code": child.returncode, "raw": raw, "restored": before == after}))
