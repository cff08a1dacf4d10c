import { Code, type Label } from '../../wasm/code.ts';
import { I32, I64 } from '../../wasm/opcodes.ts';
import { S, SEG } from '../state/layout.ts';
import { BLOCK_MAX, R, RECORD_BYTES } from './record.ts';
import { ENDED, KEY, PREFIX, REGISTER, TEMPLATE_BYTES, TEMPLATE_HASH, TEMPLATE_SHIFT, TEMPLATE_SLOTS, TEMPLATES, VARIES } from './template-layout.ts';

const AT = 0;
const HOST = 1;
const UNITS = 2;
const PLACE = 3;
/** No instruction that starts up to here reaches into the next page. */
const LAST_START = 4096 - 15;

/**
 * (at, host, units, place) -> place: writes records for the instructions at a host offset, as long as there are templates.
 * `place` is a page offset, with the place in the block from bit 24.
 */
export function writeRecordsBody(writeRecord: number): Code {
  const code = new Code(4);
  const done = code.local(I32);
  const again = code.loop();
  code.get(AT).get(HOST).get(UNITS).get(PLACE).call(writeRecord).tee(done).op('i32_eqz').if();
  code.get(PLACE).op('return').end();
  code.get(AT).i32(RECORD_BYTES).op('i32_add').set(AT);
  code.get(HOST).get(done).i32(15).op('i32_and').op('i32_add').set(HOST);
  code
    .get(PLACE)
    .get(done)
    .i32(15)
    .op('i32_and')
    .op('i32_add')
    .i32(1 << 24)
    .op('i32_add')
    .set(PLACE);
  code.get(done).i32(16).op('i32_and').if();
  code.get(PLACE).i32(ENDED).op('i32_or').op('return').end();
  code.get(PLACE).i32(0xffff).op('i32_and').i32(LAST_START).op('i32_le_u');
  code.get(PLACE).i32(24).op('i32_shr_u').i32(BLOCK_MAX).op('i32_le_u').op('i32_and').brIf(again);
  code.end();
  return code.get(PLACE);
}

/** (at, host, units, place) -> length of the instruction, plus 16 when it ends its block; or 0 without a template. */
export function writeRecordBody(): Code {
  return new RecordWriter().body();
}

class RecordWriter {
  readonly #code = new Code(4);
  readonly #from = this.#code.local(I32);
  readonly #byte = this.#code.local(I32);
  readonly #kind = this.#code.local(I32);
  readonly #rex = this.#code.local(I32);
  readonly #key = this.#code.local(I32);
  readonly #reg = this.#code.local(I32);
  readonly #rm = this.#code.local(I32);
  readonly #segment = this.#code.local(I32);
  readonly #base = this.#code.local(I32);
  readonly #index = this.#code.local(I32);
  readonly #scale = this.#code.local(I32);
  /** Bytes of the displacement of an operand in memory, or -1 without one. */
  readonly #bytes = this.#code.local(I32);
  readonly #varies = this.#code.local(I32);
  readonly #next = this.#code.local(I32);
  readonly #displacement = this.#code.local(I32);
  readonly #ab = this.#code.local(I32);
  readonly #immediate = this.#code.local(I64);

  body(): Code {
    const code = this.#code;
    const unknown = code.block();
    this.#prefixes();
    this.#opcode();
    code.i32(-1).set(this.#bytes);
    code.get(this.#byte).i32(7).op('i32_and').get(this.#rex).i32(1).op('i32_and').i32(3).op('i32_shl').op('i32_or').set(this.#rm);
    code.get(this.#byte).i32(1).op('i32_shl').load('i32_load16_u', TEMPLATES.modrm).tee(this.#kind).if();
    this.#modrm();
    code.end();
    code.get(this.#rex).i32(8).op('i32_and').if();
    code.get(this.#key).i32(KEY.wide).op('i32_or').set(this.#key).end();
    code.get(this.#key).get(this.#byte).op('i32_or').get(UNITS).i32(KEY.unitsShift).op('i32_shl').op('i32_or');
    code.i32(KEY.present).op('i32_or').set(this.#key);
    this.#find(unknown);
    this.#offsets(unknown);
    this.#registers();
    this.#immediates();
    this.#store();
    code.end();
    code.i32(0).get(this.#key).store('i32_store', TEMPLATES.key);
    code.i32(0).get(this.#from).get(HOST).op('i32_sub').store('i32_store', TEMPLATES.keyBytes);
    code.i32(0).get(this.#bytes).store('i32_store', TEMPLATES.displacementBytes);
    return code.i32(0);
  }

  /** byte := what is at `from`, which goes on. */
  #nextByte(into: number): void {
    const code = this.#code;
    code.get(this.#from).load('i32_load8_u').set(into);
    code.get(this.#from).i32(1).op('i32_add').set(this.#from);
  }

  /** REX counts only directly before the opcode; of the others of a group the last one counts. @spec SDM-2A §2.1.1 */
  #prefixes(): void {
    const code = this.#code;
    const is = (kind: number): Code => code.get(this.#kind).i32(kind).op('i32_eq');
    code.get(HOST).set(this.#from).i32(S.zero).set(this.#segment);
    const last = code.block();
    const again = code.loop();
    this.#nextByte(this.#byte);
    code.get(this.#byte).i32(1).op('i32_shl').load('i32_load16_u', TEMPLATES.prefixes).tee(this.#kind).op('i32_eqz').brIf(last);
    is(PREFIX.rex).if();
    code.get(this.#byte).set(this.#rex).br(again).end();
    is(PREFIX.vex).get(this.#from).get(HOST).op('i32_sub').i32(8).op('i32_gt_u').op('i32_or').if();
    code.i32(0).i32(0).store('i32_store', TEMPLATES.key).i32(0).op('return').end();
    code.i32(0).set(this.#rex);
    is(PREFIX.ignored).brIf(again);
    is(PREFIX.fs).if();
    code
      .i32(S.segBase + SEG.FS * 8)
      .set(this.#segment)
      .br(again)
      .end();
    is(PREFIX.gs).if();
    code
      .i32(S.segBase + SEG.GS * 8)
      .set(this.#segment)
      .br(again)
      .end();
    code
      .get(this.#kind)
      .i32(PREFIX.f2 | PREFIX.f3)
      .op('i32_and')
      .if();
    code
      .get(this.#key)
      .i32(~(PREFIX.f2 | PREFIX.f3))
      .op('i32_and')
      .set(this.#key)
      .end();
    code.get(this.#key).get(this.#kind).op('i32_or').set(this.#key).br(again);
    code.end().end();
  }

  /** byte := the opcode with its map. */
  #opcode(): void {
    const code = this.#code;
    const map = (found: number, number: number): void => {
      code.get(this.#byte).i32(found).op('i32_eq').if();
      this.#nextByte(this.#byte);
      code.get(this.#byte).i32(number).op('i32_or').set(this.#byte).end();
    };
    code.get(this.#byte).i32(0x0f).op('i32_eq').if();
    this.#nextByte(this.#kind);
    code.get(this.#kind).i32(0x100).op('i32_or').set(this.#byte);
    // What they fetch is below 300h and at least 200h: no second escape.
    map(0x138, 0x200);
    map(0x13a, 0x300);
    code.end();
  }

  #modrm(): void {
    const code = this.#code;
    const modrm = code.local(I32);
    this.#nextByte(modrm);
    code.get(modrm).i32(3).op('i32_shr_u').i32(7).op('i32_and').get(this.#rex).i32(4).op('i32_and').i32(1).op('i32_shl').op('i32_or').set(this.#reg);
    code.get(modrm).i32(7).op('i32_and').get(this.#rex).i32(1).op('i32_and').i32(3).op('i32_shl').op('i32_or').set(this.#rm);
    code.get(modrm).get(this.#kind).op('i32_and').i32(0xff).op('i32_and').i32(KEY.modrmShift).op('i32_shl');
    code.get(this.#key).op('i32_or').set(this.#key);
    code.get(modrm).i32(0xc0).op('i32_ge_u').if();
    code.get(this.#key).i32(KEY.register).op('i32_or').set(this.#key);
    code.else();
    this.#address(modrm);
    code.end();
  }

  /** @spec SDM-2A §2.1.5, table 2-2 and 2-3 */
  #address(modrm: number): void {
    const code = this.#code;
    const absent = code.local(I32);
    const without = code.local(I32);
    const number = code.local(I32);
    code.get(modrm).i32(7).op('i32_and').set(number).i32(S.zero).set(this.#index).i32(S.page).set(without);
    code.get(number).i32(4).op('i32_eq').if();
    const sib = this.#kind;
    this.#nextByte(sib);
    code.get(sib).i32(7).op('i32_and').set(number).i32(S.zero).set(without);
    code.get(sib).i32(6).op('i32_shr_u').set(this.#scale);
    code.get(sib).i32(3).op('i32_shr_u').i32(7).op('i32_and').get(this.#rex).i32(2).op('i32_and').i32(2).op('i32_shl').op('i32_or').tee(sib);
    code.i32(4).op('i32_ne').if();
    code.get(sib).i32(3).op('i32_shl').i32(S.gpr).op('i32_add').set(this.#index).end();
    code.end();
    const mod = modrm;
    code.get(modrm).i32(6).op('i32_shr_u').set(mod);
    code.get(number).i32(5).op('i32_eq').get(mod).op('i32_eqz').op('i32_and').set(absent);
    code.i32(4).get(mod).i32(1).op('i32_eq').get(mod).i32(2).op('i32_eq').get(absent).op('i32_or').op('select').set(this.#bytes);
    code.get(without);
    code.get(number).get(this.#rex).i32(1).op('i32_and').i32(3).op('i32_shl').op('i32_or').i32(3).op('i32_shl').i32(S.gpr).op('i32_add');
    code.get(absent).op('select').set(this.#base);
    code.get(this.#index).i32(S.zero).op('i32_ne').get(this.#segment).i32(S.zero).op('i32_ne').op('i32_or').if();
    code.get(this.#key).i32(KEY.full).op('i32_or').set(this.#key).end();
  }

  /** kind := place of the template. */
  #find(unknown: Label): void {
    const code = this.#code;
    const entry = this.#kind;
    const key = code.local(I32);
    code.get(this.#key).i32(TEMPLATE_HASH).op('i32_mul').i32(TEMPLATE_SHIFT).op('i32_shr_u').set(entry);
    const found = code.block();
    const again = code.loop();
    code.get(entry).i32(TEMPLATE_BYTES).op('i32_mul').load('i32_load', TEMPLATES.table).tee(key).get(this.#key).op('i32_eq').brIf(found);
    code.get(key).op('i32_eqz').brIf(unknown);
    code
      .get(entry)
      .i32(1)
      .op('i32_add')
      .i32(TEMPLATE_SLOTS - 1)
      .op('i32_and')
      .set(entry)
      .br(again);
    code.end().end();
    code
      .get(entry)
      .i32(TEMPLATE_BYTES)
      .op('i32_mul')
      .tee(entry)
      .load('i32_load', TEMPLATES.table + 8)
      .set(this.#varies);
  }

  /** next and displacement; `from` goes to the immediate. */
  #offsets(unknown: Label): void {
    const code = this.#code;
    const length = code.local(I32);
    const bytes = code.local(I32);
    code.get(this.#bytes).i32(0).get(this.#bytes).i32(0).op('i32_ge_s').op('select').set(bytes);
    code.get(this.#from).get(HOST).op('i32_sub').get(bytes).op('i32_add');
    code.get(this.#varies).i32(VARIES.immediateBytes).op('i32_and').op('i32_add').tee(length).i32(15).op('i32_gt_u').brIf(unknown);
    code.get(PLACE).i32(0xffff).op('i32_and').get(length).op('i32_add').set(this.#next);
    code.get(this.#bytes).i32(0).op('i32_lt_s').if();
    code.get(this.#next).i32(0).get(this.#varies).i32(VARIES.ends).op('i32_and').op('select').set(this.#displacement);
    code.else();
    code.get(this.#bytes).i32(1).op('i32_eq').if();
    code.get(this.#from).load('i32_load8_s').set(this.#displacement).end();
    code.get(this.#bytes).i32(4).op('i32_eq').if();
    code.get(this.#from).load('i32_load').set(this.#displacement).end();
    code.get(this.#base).i32(S.page).op('i32_eq').if();
    // Records have no room for more than 32 bits.
    code.get(this.#displacement).get(this.#next).op('i32_add').get(this.#displacement).op('i32_lt_s').brIf(unknown);
    code.get(this.#displacement).get(this.#next).op('i32_add').set(this.#displacement).end();
    code.get(this.#from).get(this.#bytes).op('i32_add').set(this.#from);
    code.end();
  }

  #registers(): void {
    const code = this.#code;
    for (const [number, shift] of [
      [this.#reg, VARIES.regShift],
      [this.#rm, VARIES.rmShift],
    ] as const) {
      const kind = this.#byte;
      const slot = code.local(I32);
      code.get(this.#varies).i32(shift).op('i32_shr_u').i32(7).op('i32_and').tee(kind).if();
      code.get(number).i32(3).op('i32_shl').i32(S.gpr).op('i32_add').set(slot);
      code.get(kind).i32(REGISTER.gpr).op('i32_ne').if();
      code.get(kind).i32(REGISTER.byte).op('i32_eq').get(this.#rex).op('i32_eqz').op('i32_and').get(number).i32(4).op('i32_ge_u').op('i32_and').if();
      code.get(slot).i32(31).op('i32_sub').set(slot).end();
      code.get(kind).i32(REGISTER.xmm).op('i32_eq').if();
      code.get(number).i32(5).op('i32_shl').i32(S.xmm).op('i32_add').set(slot).end();
      code.get(kind).i32(REGISTER.mmx).op('i32_eq').if();
      code.get(number).i32(7).op('i32_and').i32(4).op('i32_shl').i32(S.st).op('i32_add').set(slot).end();
      code.end();
      const field = kind;
      code
        .get(this.#varies)
        .i32(shift + 3)
        .op('i32_shr_u')
        .i32(3)
        .op('i32_and')
        .tee(field)
        .i32(2)
        .op('i32_eq')
        .if();
      code.get(this.#segment).get(slot).i32(16).op('i32_shl').op('i32_or').set(this.#segment);
      code.else();
      code.get(this.#ab).get(slot).get(field).i32(4).op('i32_shl').op('i32_shl').op('i32_or').set(this.#ab);
      code.end().end();
    }
  }

  /** immediate, and the links of a branch. */
  #immediates(): void {
    const code = this.#code;
    code.get(this.#next).op('i64_extend_i32_u').set(this.#immediate);
    code
      .get(this.#varies)
      .i32(VARIES.branch | VARIES.immediate)
      .op('i32_and')
      .if();
    const bytes = this.#byte;
    code.get(this.#varies).i32(VARIES.immediateBytes).op('i32_and').set(bytes);
    for (const [size, load] of [
      [1, 'i64_load8_s'],
      [2, 'i64_load16_s'],
      [4, 'i64_load32_s'],
      [8, 'i64_load'],
    ] as const) {
      code.get(bytes).i32(size).op('i32_eq').if();
      code.get(this.#from).load(load).set(this.#immediate).end();
    }
    code.get(this.#varies).i32(VARIES.branch).op('i32_and').if();
    code.get(this.#immediate).get(this.#next).op('i64_extend_i32_u').op('i64_add').tee(this.#immediate);
    code.i64(4096n).op('i64_ge_u').set(this.#ab);
    code.get(this.#next).i32(4096).op('i32_ge_u').set(this.#base).i32(0).set(this.#index);
    code.else();
    // All ones above the width the instruction uses.
    code.get(this.#immediate).i64(-1n).i32(64);
    code.i32(8).get(this.#varies).i32(VARIES.widthShift).op('i32_shr_u').i32(3).op('i32_and').op('i32_shl').op('i32_sub');
    code.op('i64_extend_i32_u').op('i64_shr_u').op('i64_and').set(this.#immediate);
    code.end().end();
  }

  #store(): void {
    const code = this.#code;
    code
      .get(AT)
      .get(this.#kind)
      .load('i32_load', TEMPLATES.table + 4)
      .store('i32_store', R.handler);
    code.get(AT).get(PLACE).get(this.#scale).i32(16).op('i32_shl').op('i32_or').store('i32_store', R.pageOffset);
    code.get(AT).get(this.#ab).store('i32_store', R.a);
    code.get(AT).get(this.#base).get(this.#index).i32(16).op('i32_shl').op('i32_or').store('i32_store', R.base);
    code.get(AT).get(this.#segment).store('i32_store', R.seg);
    code.get(AT).get(this.#displacement).store('i32_store', R.displacement);
    code.get(AT).get(this.#immediate).store('i64_store', R.immediate);
    code.get(this.#next).get(PLACE).i32(0xffff).op('i32_and').op('i32_sub');
    code.get(this.#varies).i32(VARIES.ends).op('i32_and').i32(12).op('i32_shr_u').op('i32_or').op('return');
  }
}
