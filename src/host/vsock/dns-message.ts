import type { IpAddress } from '../../base/ip-address.ts';

/** @spec RFC-1035 §4.1.1 */
const HEADER_BYTES = 12;
const FLAG_RESPONSE = 0x80;
const NAME_BYTES_MAX = 255;
const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
/** Records of one answer that are looked at. */
const RECORDS_MAX = 256;

export const RCODE_SERVFAIL = 2;
export const RCODE_REFUSED = 5;

/** The one question of a query. */
export interface DnsQuestion {
  /** In lower case, without the last dot. */
  readonly name: string;
  readonly type: number;
  /** Where the question ends in the message. */
  readonly end: number;
}

export interface DnsAddress {
  readonly ip: IpAddress;
  readonly ttlSeconds: number;
}

/** The question of a message; undefined when it is no DNS message with exactly one. @spec RFC-1035 §4.1.2 */
export function readQuestion(message: Uint8Array): DnsQuestion | undefined {
  if (message.length < HEADER_BYTES || u16(message, 4) !== 1) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = message[at]; ; length = message[at]) {
    if (length === undefined || length > 63 || at - HEADER_BYTES > NAME_BYTES_MAX) return undefined;
    at += 1;
    if (length === 0) break;
    const label = String.fromCharCode(...message.subarray(at, at + length));
    // A dot or a non-ASCII byte inside of a label would let one name look like another.
    if (!/^[!-\-/-~]+$/.test(label) || label.length < length) return undefined;
    labels.push(label.toLowerCase());
    at += length;
  }
  if (at + 4 > message.length || u16(message, at + 2) !== CLASS_IN) return undefined;
  return { name: labels.join('.'), type: u16(message, at), end: at + 4 };
}

/** Whether this is a query, and not an answer. */
export function isQuery(message: Uint8Array): boolean {
  return message.length >= HEADER_BYTES && ((message[2] ?? 0) & FLAG_RESPONSE) === 0;
}

/** Whether `answer` belongs to `query`: same number, same question, and a response. */
export function answers(answer: Uint8Array, query: Uint8Array): boolean {
  if (answer.length < HEADER_BYTES || isQuery(answer) || u16(answer, 0) !== u16(query, 0)) return false;
  const [asked, said] = [readQuestion(query), readQuestion(answer)];
  return asked !== undefined && said !== undefined && asked.name === said.name && asked.type === said.type;
}

/** All A and AAAA records of an answer. @spec RFC-1035 §4.1.3   @spec RFC-3596 §2 */
export function readAddresses(answer: Uint8Array): DnsAddress[] {
  const question = readQuestion(answer);
  const found: DnsAddress[] = [];
  if (question === undefined) return found;
  let at = question.end;
  for (let left = Math.min(RECORDS_MAX, u16(answer, 6)); left > 0; left--) {
    const start = skipName(answer, at);
    if (start === undefined || start + 10 > answer.length) return found;
    const [type, length] = [u16(answer, start), u16(answer, start + 8)];
    const data = answer.subarray(start + 10, start + 10 + length);
    const ttlSeconds = u16(answer, start + 4) * 0x1_0000 + u16(answer, start + 6);
    const isAddress = (type === TYPE_A && length === 4) || (type === TYPE_AAAA && length === 16);
    if (isAddress && data.length === length) found.push({ ip: data.slice(), ttlSeconds });
    at = start + 10 + length;
  }
  return found;
}

/** An answer with nothing but a code. */
export function refusal(query: Uint8Array, rcode: number): Uint8Array {
  const end = readQuestion(query)?.end;
  const answer = query.slice(0, end ?? HEADER_BYTES);
  answer[2] = ((answer[2] ?? 0) & 0x79) | FLAG_RESPONSE; // the query's operation and wish for recursion
  answer[3] = 0x80 | rcode; // recursion available
  answer.fill(0, 6, HEADER_BYTES); // no records
  if (end === undefined) answer.fill(0, 4, 6);
  return answer;
}

/** Where the name that starts at `at` ends. */
function skipName(message: Uint8Array, at: number): number | undefined {
  let next = at;
  for (let labels = 0; labels < 128; labels++) {
    const length = message[next];
    if (length === undefined) return undefined;
    if (length >= 0xc0) return next + 2; // the rest is elsewhere
    next += 1 + length;
    if (length === 0) return next;
  }
  return undefined;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
