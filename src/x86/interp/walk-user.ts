import { Code, type Label } from '../../wasm/code.ts';
import { I32, I64 } from '../../wasm/opcodes.ts';
import { ENGINE, ENGINE_BYTES, S, TLB_ENTRIES, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';

/** Where the read table of user pages is. */
const USER_TABLE = ENGINE.tlb + TLB_VIEW.user * 2 * TLB_TABLE;

const P = 0x1n;
const US = 0x4n;
const A = 0x20n;
const PS = 0x80n;
/** Physical address bits of an entry: MAXPHYADDR is 40. */
const ADDRESS = 0xff_ffff_f000n;
/** Bits between MAXPHYADDR and 51 are reserved. */
const RESERVED = 0x000f_ff00_0000_0000n;

/**
 * The common TLB miss, in generated code: a read at CPL 3 of a page that is mapped by 4-level paging and was accessed before.
 * (linear: i64, bytes: i32) -> host offset, or 0: then TypeScript walks, sets bits and finds what is wrong.
 * @spec SDM-3A §4.5.4
 */
export function walkUserBody(): Code {
  const code = new Code(2);
  const entry = code.local(I64);
  const page = code.local(I64);
  const slot = code.local(I32);
  const fail = code.block();
  code.i32(0).load('i32_load', S.walkable).op('i32_eqz').brIf(fail, false);
  code.i32(0).load('i32_load', S.tlb).i32(USER_TABLE).op('i32_ne').brIf(fail, false);
  // Canonical, lower half.
  code.get(0).i64(47n).op('i64_shr_u').i64(0n).op('i64_ne').brIf(fail, false);
  code.get(0).op('i32_wrap_i64').i32(4095).op('i32_and').get(1).op('i32_add').i32(4096).op('i32_gt_u').brIf(fail, false);
  code.i32(0).load('i64_load', S.cr3).set(entry);
  for (const shift of [39n, 30n]) {
    step(code, entry, shift, fail);
    code.get(entry).i64(PS).op('i64_and').i64(0n).op('i64_ne').brIf(fail, false);
  }
  step(code, entry, 21n, fail);
  // A 2 MiB page, or one more table.
  code.get(entry).i64(PS).op('i64_and').i64(0n).op('i64_ne').if();
  code.get(entry).i64(0x1f_e000n).op('i64_and').i64(0n).op('i64_ne').brIf(fail, false);
  code
    .get(entry)
    .i64(ADDRESS & ~0x1f_ffffn)
    .op('i64_and')
    .get(0)
    .i64(0x1f_f000n)
    .op('i64_and')
    .op('i64_or')
    .set(page);
  code.else();
  step(code, entry, 12n, fail);
  code.get(entry).i64(ADDRESS).op('i64_and').set(page);
  code.end();
  code.get(page).i32(0).load('i64_load', S.ramBytes).op('i64_ge_u').brIf(fail, false);
  fillUserRead(code, page, slot);
  code.get(page).op('i32_wrap_i64').i32(ENGINE_BYTES).op('i32_add').get(0).op('i32_wrap_i64').i32(4095).op('i32_and').op('i32_add').op('return');
  code.end();
  return code.i32(0);
}

/** Reads the entry of one level: it must be in RAM, present, for users, accessed, and without reserved bits. */
function step(code: Code, entry: number, shift: bigint, fail: Label): void {
  code.get(entry).i64(ADDRESS).op('i64_and').get(0).i64(shift).op('i64_shr_u').i64(511n).op('i64_and').i64(3n).op('i64_shl').op('i64_or').set(entry);
  code.get(entry).i32(0).load('i64_load', S.ramBytes).op('i64_ge_u').brIf(fail, false);
  code.get(entry).op('i32_wrap_i64').load('i64_load', ENGINE_BYTES).set(entry);
  code
    .get(entry)
    .i64(P | US | A | RESERVED)
    .op('i64_and')
    .i64(P | US | A)
    .op('i64_ne')
    .brIf(fail, false);
}

/** The entry goes with the next flush of any kind. */
function fillUserRead(code: Code, page: number, slot: number): void {
  code
    .get(0)
    .i64(12n)
    .op('i64_shr_u')
    .op('i32_wrap_i64')
    .i32(TLB_ENTRIES - 1)
    .op('i32_and')
    .i32(4)
    .op('i32_shl')
    .set(slot);
  code.get(slot).get(0).i64(-4096n).op('i64_and').store('i64_store', USER_TABLE);
  code
    .get(slot)
    .get(page)
    .get(0)
    .i64(-4096n)
    .op('i64_and')
    .op('i64_sub')
    .op('i32_wrap_i64')
    .i32(ENGINE_BYTES)
    .op('i32_add')
    .store('i32_store', USER_TABLE + 8);
  code
    .get(slot)
    .i32(1)
    .store('i32_store', USER_TABLE + 12);
  code.i32(0).i32(1).store('i32_store', S.walked);
}
