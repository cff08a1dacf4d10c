/** A struct of zeros. */
export function struct(size: number): DataView {
  return new DataView(new ArrayBuffer(size));
}

export function bytesOf({ buffer, byteOffset, byteLength }: DataView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
