// Guests of a few instructions, and how to start them: what both engines are tested with.
import type { EntryState, GuestIo, SegmentState, Vm } from './contract.ts';

/** Where guests are loaded and start. */
export const ENTRY = 0x1000;
const PML4 = 0xa000;
const MiB = 1024 * 1024;
export const MEMORY_BYTES = 4 * MiB;

/** Machine code, with what it does in NASM's words. */
export const GUESTS = {
  /** out dx=3f8: al, ax, eax; in al, ax, eax -> [2000], [2002], [2004]; rep outsb "hello"; rep insw x3 -> [2010]; cli; hlt */
  ports:
    'baf803b041eeb83412ef66b8efbeadde66efeca20020eda3022066ed66a30420be3310b90500fcf36ebf1020b90300f36dfaf468656c6c6f',
  /** stores of 1, 2, 4, 8 bytes to d0000001, …2, …4, …8, then loads of the same into [2000], [2008], [2010], [2018] */
  mmio:
    'bb000000d0c643011166c743023322c743047766554448b88877665544332211488943080fb6430148890425002000000fb743024889' +
    '0425082000008b43044889042510200000488b43084889042518200000faf4',
  /** PIC at vectors 20 and 28, interrupt 5 unmasked; out f4 1; then sti; hlt until three came: each is out f5 count */
  interrupts:
    'fab011e620e6a0b020e621b028e6a1b004e621b002e6a1b001e621e6a1b0dfe621b0ffe6a1c70694004010c70696000000b001e6f4' +
    'fbf4803e00200372f7faf4fe060020b020e620a00020e6f5cf',
  /** dword [d0000050] <- 1, 7, 1; cli; hlt */
  doorbells: 'bb500000d0c70301000000c70307000000c70301000000faf4',
  /** INIT and SIPI (page 3) to the processor with APIC id 1, waits for [2000] = 77, out f4 1; cli; hlt */
  starter:
    'bb0000e0fec783f0000000ff010000c7831003000000000001c7830003000000450000c7831003000000000001c7830003000003460000' +
    'f390803d002000007775f566baf400b001eefaf4',
  /** for page 3: out f5 2; [2000] <- 77; cli; hlt */
  started: '2ec60600009031c08ed8baf500b002eec606002077faf4',
  /** inc qword [2000], for ever */
  count: '48ff042500200000ebf6',
  /** sti; hlt, for ever */
  sleep: 'fbf4ebfd',
  /** [5000] <- 1; [7fff] <- 1; out f4; [9000] <- 1; cli; hlt */
  dirty: 'c604250050000001c60425ff7f000001e6f4c604250090000001faf4',
  /** lidt of nothing (a limit of 0 at 2000); ud2 */
  tripleFault: '0f011c25002000000f0b',
  /** jmp d0000000 */
  lost: 'b8000000d0ffe0',
  /** gate 35; local APIC on; I/O APIC: version -> [2000], pin 5 to vector 35; out f4 1; sti; hlt; the gate: out f5 2; cli; hlt */
  ioapic:
    'c7050060000000000000c7050460000000000000c70508600000ffff0000c7050c600000009bcf00c70510600000ffff0000c705146000' +
    '000093cf0066c705005000001700c70502500000006000000f011500500000b8da10000066a3a841000066c705aa410000080066c705ac' +
    '410000008e66c705ae410000000066c70508500000ff03c7050a500000004000000f011d08500000bb0000e0fec783f0000000ff010000' +
    'bb0000c0fec703010000008b4310a300200000c7031b000000c7431000000000c7031a000000c7431035000000b001e6f4fbf4faf4b002' +
    'e6f5c705b000e0fe0000000083c40cfaf4',
  /** about a hundred integer, stack, string, memory and control instructions; ends in a jump to itself, `ebfe` */
  mixed:
    'bc0080000048b8f0debc9a78563412bb0100008066b9ff7fb28004204811c319d948f7da49f7d066ffc1feca4d31c94983e9014c8d54' +
    '98f9440fb6d84c0fbee04c63e94c6bf0fd440fafeb48f7e341bf0700000031d249f7f7489949f7ff48d1e048c1fb03c1e90548c1c00d' +
    'c0cb0348d1d248d1db480fa4d8090facd103480fc80fcb86c44887d94839d84c0f4cc04c0f43cb400f9fc6400f9ac7480fbae011480f' +
    'baeb03480fbaf105480fbafa3f4c0fbcc04c0fbdcb5068341200005f5e9c415b48890425002000008304250420000011480fc11c2500' +
    '200000488b042500200000480fb10c2500200000f066ff042502200000e85a000000b905000000bf00210000b85a000000fcf3aabe00' +
    '200000b903000000f348a5fdacfcaeb90400000001c8e2fc85c074007800c8100000c9f5f9f89e9f66989848989941b8ffffffff4183' +
    'c0014983d000bb00200000b003d7ebfec3',
} as const;

export type Mode = 'real' | 'protected' | 'long';

/** Loads a guest at `ENTRY` and points the first processor at it. Long mode has the first GiB and [3, 4) GiB identity-mapped. */
export function loadGuest(vm: Pick<Vm, 'memory' | 'vcpus'>, name: keyof typeof GUESTS, mode: Mode): void {
  const { memory } = vm;
  memory.write(ENTRY, machineCode(name));
  if (mode === 'long') {
    memory.writeU64(PML4, BigInt(PML4 + 0x1000 + 3));
    mapGiB(vm, 0, PML4 + 0x2000);
    mapGiB(vm, 3, PML4 + 0x3000);
  }
  vm.vcpus[0]?.setEntryState(entryState(mode));
}

/** In pages of 2 MiB: not every host has larger ones. */
function mapGiB({ memory }: Pick<Vm, 'memory'>, gib: number, table: number): void {
  memory.writeU64(PML4 + 0x1000 + gib * 8, BigInt(table + 3));
  for (let i = 0; i < 512; i++) memory.writeU64(table + i * 8, BigInt(gib * 1024 * MiB + i * 2 * MiB + 0x83));
}

export function machineCode(name: keyof typeof GUESTS): Uint8Array {
  return Uint8Array.from(GUESTS[name].match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Segments that reach everything, no descriptor tables. */
export function entryState(mode: Mode): EntryState {
  const [code, data, limit] = SEGMENTS[mode];
  const segment = (selector: number, attributes: number): SegmentState => ({ selector, base: 0, limit, attributes });
  const flat = mode === 'real' ? 0 : 8;
  return {
    rip: ENTRY,
    rsp: 0x8000,
    rbp: 0,
    rsi: 0,
    rbx: 0,
    cr0: { real: 0x10, protected: 0x11, long: 0x8000_0011 }[mode],
    cr3: mode === 'long' ? PML4 : 0,
    cr4: mode === 'long' ? 0x20 : 0,
    efer: mode === 'long' ? 0x500 : 0,
    gdt: { base: 0, limit: 0 },
    idt: { base: 0, limit: mode === 'real' ? 0x3ff : 0 },
    cs: segment(flat, code),
    data: segment(flat * 2, data),
    tr: { selector: flat * 3, base: 0, limit: 0xffff, attributes: 0x8b },
  };
}

/** Attributes of code and data, and the limit of both. */
const SEGMENTS: Readonly<Record<Mode, readonly [number, number, number]>> = {
  real: [0x9b, 0x93, 0xffff],
  protected: [0xc09b, 0xc093, 0xffff_ffff],
  long: [0xa09b, 0xc093, 0xffff_ffff],
};

/** Devices that note every access as text and read as what `reads` says, in order. */
export class NotingIo implements GuestIo {
  readonly notes: string[] = [];
  onNote: (note: string) => void = () => {};
  readonly #reads: number[];

  constructor(reads: readonly number[] = []) {
    this.#reads = [...reads];
  }

  portRead(port: number, size: 1 | 2 | 4): number {
    return this.#read(`in ${hex(port)} ${size}`);
  }

  portWrite(port: number, size: 1 | 2 | 4, value: number): void {
    this.#note(`out ${hex(port)} ${size} ${hex(value)}`);
  }

  mmioRead(gpa: number, size: 1 | 2 | 4): number {
    return this.#read(`load ${hex(gpa)} ${size}`);
  }

  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void {
    this.#note(`store ${hex(gpa)} ${size} ${hex(value)}`);
  }

  #read(note: string): number {
    this.#note(note);
    return this.#reads.shift() ?? 0;
  }

  #note(note: string): void {
    this.notes.push(note);
    this.onNote(note);
  }
}

function hex(value: number): string {
  return value.toString(16);
}
