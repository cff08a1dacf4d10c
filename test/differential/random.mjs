/** Seeded random numbers (xorshift128), so that a seed and a template list name a set of cases exactly. */
export class Random {
  #s;

  constructor(seed) {
    this.#s = Uint32Array.of(seed | 1, 0x9e37_79b9, 0x243f_6a88, 0xb7e1_5162);
    for (let i = 0; i < 16; i++) this.u32();
  }

  u32() {
    const s = this.#s;
    let t = s[3];
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2];
    s[2] = s[1];
    s[1] = s[0];
    s[0] = t ^ s[0] ^ (s[0] >>> 19);
    return s[0];
  }

  u64() {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** An integer in `[0, n)`. */
  below(n) {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }

  /** An integer in `[low, high]`. */
  between(low, high) {
    return low + this.below(high - low + 1);
  }

  /** True with this probability in per cent. */
  percent(p) {
    return this.u32() / 0x1_0000_0000 < p / 100;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  bytes(n) {
    return Uint8Array.from({ length: n }, () => this.u32() >>> 11);
  }
}
