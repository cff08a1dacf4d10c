import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runGuest, skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-log-'));
after(() => rmSync(folder, { recursive: true }));

/** Lines of level "warn" or worse that are no fault of the machine, and why. */
const EXPECTED = [
  // The kernel has both KVM modules built in and looks for virtualisation inside the guest; libkrun shows the same.
  /^kvm_(intel: VMX not supported by CPU \d+|amd: CPU \d+ isn't AMD or Hygon)$/,
  // Virtio devices get IRQ 5 and up in libkrun's order, so the fourth takes the one of the real-time clock, which
  // wants it for alarms only. The time of day arrives without that driver.
  /^genirq: Flags mismatch irq 8\. \w+ \(rtc0\) vs\. \w+ \(virtio3\)$/,
  /^rtc_cmos rtc_cmos: probe with driver rtc_cmos failed with error -16$/,
];
const BAD = ['emerg', 'alert', 'crit', 'err', 'warn'];

test("the kernel's own log is free of warnings", options, async () => {
  // Every device is in use once: the log is read last.
  const script = 'echo x >/vol/x && cat /vol/x >&2 && head -c 100 /dev/hwrng | wc -c >&2; sleep 0.1; dmesg --decode';
  const { stdout, stderr, code } = await runGuest({
    command: ['/bin/sh', '-c', script],
    volumes: [{ hostPath: folder, guestPath: '/vol' }],
  });
  assert.deepEqual([code, stderr], [0, 'x\n100\n']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  assert.ok(lines.length > 100, 'a boot says more than that');
  const bad = lines.filter((line) => BAD.includes(line.split(':')[1]?.trim() ?? '')).map(messageOf);
  assert.deepEqual(
    bad.filter((message) => !EXPECTED.some((expected) => expected.test(message))),
    [],
  );
  assert.doesNotMatch(stdout, /\b(BUG|WARNING|Oops|Call Trace|soft lockup|rcu: .*stall)\b/);
});

/** `kern  :err   : [    0.476178] text` without what comes before the text. */
function messageOf(line: string): string {
  return line.replace(/^.*?\[ *\d+\.\d+\] /, '');
}
