/** Delivery modes of ICR, LVT, redirection entries and MSI. @spec SDM-3A §11.6.1 */
export const DELIVERY = { fixed: 0, lowest: 1, smi: 2, nmi: 4, init: 5, startup: 6, extInt: 7 } as const;

/** An interrupt on its way to local APICs. One record is reused by each sender: receivers keep nothing of it. */
export interface ApicMessage {
  vector: number;
  /** One of DELIVERY. */
  delivery: number;
  logical: boolean;
  level: boolean;
  /** APIC id or logical destination; 0xff (xAPIC) or 0xffffffff (x2APIC) means all. */
  destination: number;
  /** Sent by the ICR of an x2APIC: destinations are 32 bits wide. */
  wide: boolean;
}

/** A record to fill. */
export function apicMessage(): ApicMessage {
  return { vector: 0, delivery: 0, logical: false, level: false, destination: 0, wide: false };
}

/** A local APIC as the bus sees it. */
export interface ApicTarget {
  readonly softwareEnabled: boolean;
  readonly processorPriority: number;
  /** Whether a message is for this processor. */
  matches(message: ApicMessage): boolean;
  /** @returns false when it was refused */
  accept(message: ApicMessage): boolean;
}

/** What connects local APICs with each other, with the IOAPIC and with message-signalled interrupts. */
export class ApicBus {
  readonly lapics: ApicTarget[] = [];
  /** Set by the IOAPIC: a level-triggered vector ended. */
  onLevelEoi: (vector: number) => void = () => {};

  /** @returns whether at least one local APIC took it */
  deliver(message: ApicMessage): boolean {
    if (message.delivery === DELIVERY.lowest) return this.#deliverLowest(message);
    let taken = false;
    for (const lapic of this.lapics) {
      if (lapic.matches(message) && lapic.accept(message)) taken = true;
    }
    return taken;
  }

  /** All but self, or all: the ICR's destination shorthands. */
  broadcast(message: ApicMessage, except: ApicTarget | undefined): void {
    for (const lapic of this.lapics) if (lapic !== except) lapic.accept(message);
  }

  #deliverLowest(message: ApicMessage): boolean {
    let best: ApicTarget | undefined;
    for (const lapic of this.lapics) {
      if (!lapic.matches(message) || !lapic.softwareEnabled) continue;
      if (best === undefined || lapic.processorPriority < best.processorPriority) best = lapic;
    }
    return best?.accept(message) ?? false;
  }
}
