import type { DiskFile } from '../disk-file.ts';

/** One cluster of metadata in memory. */
export interface Table {
  /** Where it is in the file. */
  readonly offset: number;
  readonly bytes: Buffer;
  /** How often it was changed. */
  changes: number;
}

/** A changed table as it was at one moment. */
export interface TableSnapshot {
  readonly table: Table;
  readonly bytes: Buffer;
  readonly changes: number;
}

/**
 * Metadata clusters by their place in the file, the ones used last. Changed ones stay until they are written, which
 * is up to the owner.
 */
export class TableCache {
  readonly #file: DiskFile;
  readonly #tableBytes: number;
  readonly #tablesMax: number;
  readonly #tables = new Map<number, Table>();
  readonly #dirty = new Set<Table>();
  #last: Table | undefined;

  constructor(file: DiskFile, tableBytes: number, budgetBytes: number) {
    this.#file = file;
    this.#tableBytes = tableBytes;
    this.#tablesMax = Math.max(4, Math.floor(budgetBytes / tableBytes));
  }

  get(offset: number): Table {
    if (this.#last?.offset === offset) return this.#last;
    let table = this.#tables.get(offset);
    if (table === undefined) {
      const bytes = Buffer.alloc(this.#tableBytes);
      this.#file.readNow(offset, bytes);
      table = this.#keep({ offset, bytes, changes: 0 });
    } else {
      this.#tables.delete(offset); // to the end: used last
      this.#tables.set(offset, table);
      this.#last = table;
    }
    return table;
  }

  /** A table that the file does not have yet. */
  create(offset: number, content?: Buffer): Table {
    const bytes = content === undefined ? Buffer.alloc(this.#tableBytes) : Buffer.from(content);
    this.forget(offset);
    const table = this.#keep({ offset, bytes, changes: 0 });
    this.changed(table);
    return table;
  }

  /** Call right after the change, before another table is asked for. */
  changed(table: Table): void {
    table.changes += 1;
    this.#dirty.add(table);
    this.#tables.set(table.offset, table);
  }

  /** Its cluster is something else from now on. */
  forget(offset: number): void {
    const table = this.#tables.get(offset);
    if (table === undefined) return;
    this.#tables.delete(offset);
    this.#dirty.delete(table);
    if (this.#last === table) this.#last = undefined;
  }

  get dirtyBytes(): number {
    return this.#dirty.size * this.#tableBytes;
  }

  snapshot(): TableSnapshot[] {
    return Array.from(this.#dirty, (table) => ({ table, bytes: Buffer.from(table.bytes), changes: table.changes }));
  }

  /** Writes what a snapshot holds. A table that was forgotten since then is none any more. */
  write(snapshots: readonly TableSnapshot[]): void {
    for (const { table, bytes, changes } of snapshots) {
      if (!this.#dirty.has(table)) continue;
      this.#file.writeNow(table.offset, [bytes]);
      if (table.changes === changes) this.#dirty.delete(table);
    }
    this.#trim();
  }

  #keep(table: Table): Table {
    this.#tables.set(table.offset, table);
    this.#last = table;
    this.#trim();
    return table;
  }

  #trim(): void {
    let extra = this.#tables.size - this.#tablesMax;
    if (extra <= 0) return;
    for (const table of this.#tables.values()) {
      if (extra <= 0) return;
      if (this.#dirty.has(table) || table === this.#last) continue;
      this.#tables.delete(table.offset);
      extra -= 1;
    }
  }
}
