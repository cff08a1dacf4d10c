/** Capabilities without which the engine does not work. IMMEDIATE_EXIT: a paused vCPU must not run to finish its I/O. */
export const KRUN_NEEDS = [
  'IRQCHIP',
  'USER_MEMORY',
  'SET_TSS_ADDR',
  'IRQFD',
  'IOEVENTFD',
  'PIT2',
  'IMMEDIATE_EXIT',
] as const;
