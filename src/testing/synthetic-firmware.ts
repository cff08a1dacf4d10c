/** What a made-up libkrunfw says; every field has a plausible default. */
export interface SyntheticFirmware {
  readonly load?: number;
  readonly entry?: number;
  readonly size?: number;
  /** Bytes of the KERNEL_BUNDLE object; libkrunfw adds one to the image. */
  readonly bundleBytes?: number;
  readonly abi?: number;
  readonly release?: string;
  /** ModRM bytes of the three stores in krunfw_get_kernel: (%rax) thrice, as unoptimised code has it. */
  readonly stores?: readonly number[];
  /** Values in the order of the stores, where that is not load, entry, size. */
  readonly values?: readonly number[];
  readonly machine?: number;
  readonly symbolNames?: readonly string[];
}

const CODE_AT = 0x400;
const BUNDLE_AT = 0x1000;
const ADDRESS_BIAS = 0x10000;

/** A shared object with the three symbols of libkrunfw and a kernel of zeros with a banner; a few KiB unless told otherwise. */
export function syntheticFirmware(options: SyntheticFirmware = {}): Uint8Array<ArrayBuffer> {
  const { load = 0x1000000, size = 0x2000, abi = 5, release = '6.12.1-test', machine = 62 } = options;
  const { entry = load + 0x123, bundleBytes = size + 1, stores = [0, 0, 0], values = [load, entry, size] } = options;
  const names = options.symbolNames ?? ['KERNEL_BUNDLE', 'krunfw_get_kernel', 'krunfw_get_version'];
  const code = stores.flatMap((modrm, index) => [0x48, 0xc7, modrm, ...le(values[index] ?? 0, 4)]);
  const version = [0x55, 0x48, 0x89, 0xe5, 0xb8, ...le(abi, 4), 0x5d, 0xc3];
  const file = new Uint8Array(BUNDLE_AT + bundleBytes);
  const put = (at: number, bytes: readonly number[]): void => file.set(bytes, at);
  put(CODE_AT, [0x90, ...code, 0xc3]);
  put(CODE_AT + 0x100, version);
  const banner = `%s version %s\0Linux version %s\0Linux version ${release} (x)\0`;
  if (bundleBytes > 0x200)
    put(
      BUNDLE_AT + 0x100,
      Array.from(banner, (c) => c.charCodeAt(0)),
    );
  const segment = { offset: 0, address: ADDRESS_BIAS, length: file.length };
  const symbols = [
    { name: names[0] ?? '', value: ADDRESS_BIAS + BUNDLE_AT, size: bundleBytes },
    { name: names[1] ?? '', value: ADDRESS_BIAS + CODE_AT, size: code.length + 2 },
    { name: names[2] ?? '', value: ADDRESS_BIAS + CODE_AT + 0x100, size: version.length },
  ];
  layOut(put, { machine, segment, symbols });
  return file;
}

interface Contents {
  readonly machine: number;
  readonly segment: { readonly offset: number; readonly address: number; readonly length: number };
  readonly symbols: ReadonlyArray<{ readonly name: string; readonly value: number; readonly size: number }>;
}

/** Headers and tables. @spec ELF "Object Files" */
function layOut(put: (at: number, bytes: readonly number[]) => void, { machine, segment, symbols }: Contents): void {
  const phdrAt = 64;
  const shdrAt = 128;
  const symAt = 0x200;
  const strAt = 0x300;
  put(0, [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...Array<number>(9).fill(0), ...le(3, 2), ...le(machine, 2), ...le(1, 4)]);
  put(0x18, [...le(0, 8), ...le(phdrAt, 8), ...le(shdrAt, 8), ...le(0, 4)]);
  put(
    0x34,
    [64, 56, 1, 64, 3, 0].flatMap((value) => le(value, 2)),
  );
  const { offset, address, length } = segment;
  put(phdrAt, [...le(1, 4), ...le(5, 4), ...[offset, address, address, length, length, 4096].flatMap((v) => le(v, 8))]);
  const strings = `\0${symbols.map(({ name }) => `${name}\0`).join('')}`;
  put(shdrAt + 64, section({ type: 11, at: symAt, bytes: 24 * (symbols.length + 1), link: 2, entry: 24 }));
  put(shdrAt + 128, section({ type: 3, at: strAt, bytes: strings.length, link: 0, entry: 0 }));
  put(
    strAt,
    [...strings].map((c) => c.charCodeAt(0)),
  );
  symbols.forEach(({ name, value, size }, index) => {
    const nameAt = strings.indexOf(`\0${name}\0`) + 1;
    put(symAt + 24 * (index + 1), [...le(nameAt, 4), 0x11, 0, ...le(1, 2), ...le(value, 8), ...le(size, 8)]);
  });
}

interface Section {
  readonly type: number;
  readonly at: number;
  readonly bytes: number;
  readonly link: number;
  readonly entry: number;
}

function section({ type, at, bytes, link, entry }: Section): number[] {
  const fields = [le(0, 4), le(type, 4), le(0, 8), le(0, 8), le(at, 8), le(bytes, 8), le(link, 4), le(0, 4), le(8, 8)];
  return [...fields.flat(), ...le(entry, 8)];
}

function le(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, index) => Math.floor(value / 2 ** (8 * index)) % 256);
}
