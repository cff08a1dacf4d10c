/** What the host does with memory the guest does not use. */
export interface MemoryDiscarder {
  /**
   * The guest gave these bytes up: their contents may turn to zeros, and the host may have the memory back.
   * Whole pages of 4 KiB inside guest memory.
   */
  discard(gpa: number, length: number): void;
}
