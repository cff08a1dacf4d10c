/** Where a serial port's bytes go, and how it asks for more. */
export interface SerialBackend {
  /** One byte the guest sent. @returns false: not now; the transmitter holds it and offers it again at `resume` */
  write(byte: number): boolean;
  /** There is room again after `receive` took less than it was given. */
  onRoom?(): void;
}
