import { Coalesced } from '../coalesced.ts';
import type { DiskFile } from '../disk-file.ts';
import type { Mapping } from './mapping.ts';
import type { Refcounts } from './refcounts.ts';

/**
 * Writes changed metadata to the file so that it is sound after every single step, whoever pulls the plug when:
 * counts go up before anything refers to a cluster, a table is there before its entry, and a cluster is free only when
 * nothing in the file refers to it any more. At worst a cluster is counted that nobody uses.
 *
 * Between steps that build on each other the file is made durable. What changes while that goes on belongs to the next
 * commit: each one writes a copy of the metadata as it was at its beginning.
 */
export class Commit {
  readonly #file: DiskFile;
  readonly #refcounts: Refcounts;
  readonly #mapping: Mapping;
  readonly #onFree: (clusters: readonly number[]) => void;
  readonly #isBusy: (cluster: number) => boolean;
  readonly #work = new Coalesced(() => this.#run());
  /** References that the tables in memory no longer have, and the tables in the file perhaps still do. */
  readonly #dropped: number[] = [];
  #closed = false;

  constructor(
    file: DiskFile,
    refcounts: Refcounts,
    mapping: Mapping,
    hooks: { onFree(clusters: readonly number[]): void; isBusy(cluster: number): boolean },
  ) {
    this.#file = file;
    this.#refcounts = refcounts;
    this.#mapping = mapping;
    this.#onFree = (clusters) => hooks.onFree(clusters);
    this.#isBusy = (cluster) => hooks.isBusy(cluster);
  }

  /** Bytes of metadata that the file does not have. */
  get dirtyBytes(): number {
    return this.#refcounts.dirtyBytes + this.#mapping.dirtyBytes;
  }

  get isRunning(): boolean {
    return this.#work.isRunning;
  }

  /** Takes one reference from a host cluster, once the file does not have it any more. */
  drop(cluster: number): void {
    this.#dropped.push(cluster);
  }

  /** What was written before the call is durable, and found again, when the promise resolves. */
  run(): Promise<void> {
    return this.#work.run();
  }

  /** The last commit. One that is under way ends without touching the file again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const _ of this.#steps()) this.#file.syncNow();
  }

  async #run(): Promise<void> {
    if (this.#closed) return;
    for (const _ of this.#steps()) {
      await this.#file.sync();
      if (this.#closed) return;
    }
  }

  /** One commit; at each `yield` what was written so far has to become durable. */
  *#steps(): Generator<void, void, void> {
    for (const { first, count } of this.#refcounts.dropped.splice(0)) {
      for (let at = 0; at < count; at++) this.#dropped.push(first + at);
    }
    const dropped = this.#dropped.length;
    const counts = this.#refcounts.snapshot();
    const mapping = this.#mapping.snapshot();
    this.#refcounts.writeBlocks(counts);
    if (counts.entries.size > 0 || counts.moved !== undefined) {
      yield;
      this.#refcounts.writeTable(counts);
      if (counts.moved !== undefined) yield;
      this.#refcounts.writeHeader(counts);
    }
    if (mapping.tables.length > 0) yield;
    this.#mapping.writeTables(mapping);
    if (mapping.l1.size > 0) yield;
    this.#mapping.writeL1(mapping);
    yield;
    this.#free(dropped);
  }

  #free(count: number): void {
    if (count === 0) return;
    const free: number[] = [];
    const busy: number[] = [];
    for (const cluster of this.#dropped.splice(0, count)) {
      if (this.#isBusy(cluster)) busy.push(cluster);
      else if (this.#refcounts.release(cluster)) free.push(cluster);
    }
    this.#dropped.push(...busy);
    this.#onFree(free);
    // Early, and durable whenever: a count that is too high is only a waste.
    this.#refcounts.writeBlocks(this.#refcounts.snapshot());
  }
}
