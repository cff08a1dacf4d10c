import type { ConsoleBackend, ConsoleTurn } from './backend.ts';

/**
 * A turn for each console of a machine, in order of the devices. A guest numbers consoles (hvc0, hvc1) as their ports
 * become known, and without turns its own threads race for the numbers.
 */
export function consoleTurns(consoles: readonly ConsoleBackend[]): readonly ConsoleTurn[] {
  // A device without a console port takes no number, so nobody waits for it.
  const over = consoles.map(({ ports }) => !ports.some((port) => port.console));
  const waiting: ((() => void) | undefined)[] = [];
  const callNext = (): void => {
    const next = over.indexOf(false);
    for (let index = 0; index < waiting.length && (next < 0 || index <= next); index++) {
      const callback = waiting[index];
      waiting[index] = undefined;
      callback?.();
    }
  };
  return consoles.map((_, index) => ({
    wait: (callback) => {
      waiting[index] = callback;
      callNext();
    },
    done: () => {
      over[index] = true;
      callNext();
    },
  }));
}
