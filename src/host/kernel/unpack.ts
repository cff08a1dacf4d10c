import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { cacheError, errnoOf, KernelError, messageOf } from './kernel-error.ts';
import type { PinnedPackage } from './pinned-package.ts';
import { TarMember } from './tar-member.ts';

/** Called as the tarball arrives. */
export type OnBytes = (received: number) => void;

/**
 * Writes the pinned file of a tarball to `path`, which must not exist, and checks both hashes while the bytes pass.
 * On any failure the file at `path` may be partial: the caller removes it.
 *
 * @throws {KernelError} ERR_KERNEL_INTEGRITY, ERR_KERNEL_DISK_FULL, ERR_KERNEL_CACHE; or what `source` throws
 */
export async function unpackPinned(
  source: AsyncIterable<Uint8Array>,
  path: string,
  pin: PinnedPackage,
  onBytes: OnBytes,
): Promise<void> {
  const file = await open(path, 'wx', 0o644).catch((error: unknown) => {
    throw cacheError(`create ${path}`, error);
  });
  try {
    const tarball = new TarballHash(pin, onBytes);
    const fileHash = await writeMember(gunzipped(tarball.through(source)), file, path, pin);
    tarball.check();
    if (fileHash !== pin.fileSha256) throw wrongHash(pin, `SHA-256 of ${pin.member} is ${fileHash}`);
    await file.sync().catch((error: unknown) => {
      throw cacheError(`write ${path}`, error);
    });
  } finally {
    await file.close();
  }
}

/** Counts and hashes the compressed bytes on their way. */
class TarballHash {
  readonly #hash = createHash('sha512');
  readonly #pin: PinnedPackage;
  readonly #onBytes: OnBytes;
  #received = 0;

  constructor(pin: PinnedPackage, onBytes: OnBytes) {
    this.#pin = pin;
    this.#onBytes = onBytes;
  }

  async *through(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of source) {
      this.#received += chunk.length;
      if (this.#received > this.#pin.tarballBytes)
        throw wrongHash(this.#pin, `tarball is longer than ${this.#pin.tarballBytes} bytes`);
      this.#hash.update(chunk);
      this.#onBytes(this.#received);
      yield chunk;
    }
    if (this.#received < this.#pin.tarballBytes)
      throw new KernelError(
        'ERR_KERNEL_DOWNLOAD',
        `Cannot fetch ${this.#pin.name}: got ${this.#received} of ${this.#pin.tarballBytes} bytes`,
      );
  }

  check(): void {
    const digest = this.#hash.digest('base64');
    if (digest !== this.#pin.tarballSha512) throw wrongHash(this.#pin, `SHA-512 of the tarball is ${digest}`);
  }
}

/** Node's gunzip as an async transform; an error of the source arrives unchanged, one of zlib's own is typed. */
async function* gunzipped(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const gunzip = createGunzip();
  let failure: unknown;
  const feed = (async () => {
    try {
      for await (const chunk of source) {
        if (gunzip.destroyed) return;
        if (!gunzip.write(chunk)) await new Promise<void>((resolve) => onceDrainedOrClosed(gunzip, resolve));
      }
      gunzip.end();
    } catch (error) {
      failure = error;
      gunzip.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  })();
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array;
    await feed;
  } catch (error) {
    if (failure !== undefined) throw failure;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!code.startsWith('Z_')) throw error;
    throw new KernelError('ERR_KERNEL_INTEGRITY', `Cannot unpack the kernel package: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    gunzip.destroy();
    await feed;
  }
}

function onceDrainedOrClosed(stream: NodeJS.EventEmitter, resolve: () => void): void {
  const done = (): void => {
    stream.off('drain', done).off('close', done);
    resolve();
  };
  stream.on('drain', done).on('close', done);
}

/** Returns the SHA-256 of what was written, in hex. The whole stream is read, because its hash is checked too. */
async function writeMember(
  tar: AsyncIterable<Uint8Array>,
  file: FileHandle,
  path: string,
  pin: PinnedPackage,
): Promise<string> {
  const member = new TarMember(pin.member);
  const hash = createHash('sha256');
  let written = 0;
  for await (const chunk of tar) {
    for (const part of member.push(chunk)) {
      written += part.length;
      if (written > pin.fileBytes) throw wrongHash(pin, `${pin.member} is longer than ${pin.fileBytes} bytes`);
      hash.update(part);
      await writeAll(file, part, path);
    }
  }
  if (!member.found) throw wrongHash(pin, `${pin.member} is not in it`);
  return hash.digest('hex');
}

async function writeAll(file: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += (await file.write(bytes, at)).bytesWritten;
    } catch (error) {
      throw errnoOf(error) === undefined ? error : cacheError(`write ${path}`, error);
    }
  }
}

function wrongHash(pin: PinnedPackage, found: string): KernelError {
  return new KernelError('ERR_KERNEL_INTEGRITY', `Cannot use ${pin.name}@${pin.version}: ${found}`, {
    hint: 'the registry or a proxy served other bytes than the ones this version of krun was tested with; try another registry',
  });
}
