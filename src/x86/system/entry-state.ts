/** Registers a boot loader hands over. The contract of hypervisors has the same shape; this layer does not know it. */
export interface EntryState {
  readonly rip: number;
  readonly rsp: number;
  readonly rbp: number;
  readonly rsi: number;
  readonly rbx: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly idt: { readonly base: number; readonly limit: number };
  readonly cs: EntrySegment;
  readonly data: EntrySegment;
  readonly tr: EntrySegment;
}

interface EntrySegment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  /** As state attributes: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15. */
  readonly attributes: number;
}
