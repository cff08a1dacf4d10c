import { Code } from '../../wasm/code.ts';
import { I32 } from '../../wasm/opcodes.ts';
import { TLB_ENTRIES } from '../state/layout.ts';

const [LINEAR, BYTES, TABLE] = [0, 1, 2] as const;

/** The function (linear address, bytes, TLB table) -> host offset, or what `probe` says where the TLB does not know it. */
export function findBody(probe: number): Code {
  const code = new Code(3);
  const entry = code.local(I32);
  code
    .get(LINEAR)
    .i64(8n)
    .op('i64_shr_u')
    .op('i32_wrap_i64')
    .i32((TLB_ENTRIES - 1) << 4)
    .op('i32_and')
    .get(TABLE)
    .op('i32_add')
    .tee(entry);
  code.load('i64_load').get(LINEAR).get(BYTES).op('i64_extend_i32_u').op('i64_add').i64(1n).op('i64_sub').i64(-4096n).op('i64_and').op('i64_eq').if();
  code.get(LINEAR).op('i32_wrap_i64').get(entry).load('i32_load', 8).op('i32_add').op('return').end();
  code.get(LINEAR).get(BYTES).returnCall(probe);
  return code;
}
