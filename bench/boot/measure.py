"""Runs a command and prints what it cost as one line of JSON, its own output included."""
import json, resource, subprocess, sys, time

start = time.monotonic()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "rssMiB": used.ru_maxrss / 1024,
                  "code": done.returncode, "stdout": done.stdout, "stderr": done.stderr[-2000:]}))
