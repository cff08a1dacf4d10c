/** The libkrunfw kernel's CONFIG_HZ. */
const GUEST_HZ = 250;

/**
 * Words that spare the guest work at boot which our machine makes pointless. They come after the default words, and
 * whoever wants upstream's exact line passes another list. Counts are guest instructions of a libkrunfw 6.12 boot.
 */
export function bootTuning({ tscKHz }: { readonly tscKHz: number }): readonly string[] {
  return [
    // The jitter-entropy start-up test hashes for 93-100 M instructions; entropy comes from RDRAND and virtio-rng.
    // The clock driver wants interrupt 8, which is the fourth virtio device's, and complains; the time comes from CMOS
    // registers and the TSC without it.
    'initcall_blacklist=jent_mod_init,cmos_init',
    // PIT-based calibration fails at random on a loaded host, and then the TSC is unusable.
    `tsc_early_khz=${Math.round(tscKHz)}`,
    // The delay-loop calibration waits for ticks (and can hang when some are lost); the TSC frequency says it all.
    `lpj=${Math.round((tscKHz * 1000) / GUEST_HZ)}`,
    // The check that the timer interrupt arrives busy-waits ten ticks: 6 M instructions.
    'no_timer_check',
    // Our TSC is one counter with one frequency; no watchdog needs to watch it.
    'tsc=reliable',
    // Isolation is the machine's, not the guest kernel's; retpolines and return thunks would defeat return prediction.
    'mitigations=off',
    // With one CPU the kernel takes the LOCK prefix from ten thousand places, each through an address space of its own:
    // 6 M instructions and 20,000 changes of CR3. The prefix costs less than that.
    'noreplace-smp',
  ];
}
