/** A set of the 256 interrupt vectors as the APIC registers show it: eight words, bit 0 of word 0 is vector 0. */
export class VectorSet {
  readonly words = new Uint32Array(8);

  has(vector: number): boolean {
    return ((this.words[vector >>> 5]! >>> (vector & 31)) & 1) !== 0;
  }

  add(vector: number): void {
    this.words[vector >>> 5]! |= 1 << (vector & 31);
  }

  delete(vector: number): void {
    this.words[vector >>> 5]! &= ~(1 << (vector & 31));
  }

  clear(): void {
    this.words.fill(0);
  }

  /** The highest vector, or -1. */
  highest(): number {
    for (let i = 7; i >= 0; i--) {
      const word = this.words[i]!;
      if (word !== 0) return i * 32 + 31 - Math.clz32(word);
    }
    return -1;
  }
}
