import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compareWithHost } from './beside.ts';

const NODE = `
const crypto = require('node:crypto'), zlib = require('node:zlib');
let x = 1; const values = []; for (let i = 0; i < 40000; i++) { x = (x * 48271) % 2147483647; values.push(x / 65536); }
console.log(process.version, values.sort((a, b) => a - b)[777], values.reduce((a, b) => a + Math.sqrt(b), 0));
console.log(crypto.createHash('sha256').update(values.join()).digest('hex'), zlib.deflateSync(values.join().slice(0, 50000)).length);
console.log([0.1 + 0.2, 1e21, 5e-324, -0, 1 / 3, 123456789012345680000, (25).toString(36), (0.1).toFixed(20), Math.hypot(3, 4), Math.fround(0.1)].join(' '));
console.log(2n ** 200n % 1000000007n, JSON.stringify({ a: [1, { b: 'ž' }] }), 'aXbX'.replace(/(.)X/g, '<$1>'), [...'a🐧'].length);
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); } console.log(fib(20));
const m = new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,5,1,1,97,0,0,10,9,1,7,0,32,0,32,1,106,11]));
console.log(new WebAssembly.Instance(m).exports.a(40, 2));
Promise.all([1, 2, 3].map(async (v) => { await null; return v * 2; })).then((v) => { console.log(v); setTimeout(() => process.exit(9), 5); });
`;

const RUST = `
use std::collections::HashMap; use std::sync::{mpsc, Arc, Mutex}; use std::thread;
fn main() {
    let mut words: HashMap<String, usize> = HashMap::new();
    for i in 0..5000u64 { *words.entry(format!("w{}", i * 7919 % 1009)).or_insert(0) += (i % 7) as usize; }
    let mut sorted: Vec<_> = words.into_iter().collect(); sorted.sort(); println!("{:?}", &sorted[..5]);
    let (tx, rx) = mpsc::channel(); let total = Arc::new(Mutex::new(0u128));
    let all: Vec<_> = (0..4).map(|n| { let (tx, total) = (tx.clone(), total.clone()); thread::spawn(move || { for i in 0..500 { *total.lock().unwrap() += i * n; } tx.send(n).unwrap(); }) }).collect();
    for t in all { t.join().unwrap(); } drop(tx); println!("{} {}", rx.iter().sum::<u128>(), total.lock().unwrap());
    println!("{} {:e} {:?} {}", 0.1f32 + 0.2, 1.0f64 / 3.0, f64::MIN_POSITIVE, (2.0f64).powf(0.5).sin());
    println!("{:?}", std::panic::catch_unwind(|| { let v: Vec<i32> = vec![]; v[std::hint::black_box(3)] }).is_err());
    std::process::exit(21);
}
`;

/** rustc may be a launcher that finds the compiler through the caller's home, so it runs on the host only. */
const rust = spawnSync('rustc', ['--version'], { stdio: 'ignore' }).status === 0;

function compileRust(folder: string): void {
  const options = ['-O', '-C', 'target-feature=+crt-static', '-o', join(folder, 'program'), '-'];
  const { status, stderr } = spawnSync('rustc', options, { input: RUST, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

await compareWithHost(
  [
    {
      title: 'node runs a script as on the host',
      needs: ['node'],
      script: `cat >s.cjs <<'EOF'\n${NODE}\nEOF\nnode s.cjs`,
      code: 9,
    },
    {
      title: 'a Go program (gron) prints what it prints on the host',
      needs: ['gron'],
      script: `printf '{"b":[1,2.50,null,{"x":"y\\\\u00e9"}],"a":true}' >j; gron j && gron j | gron -u`,
    },
    {
      title: 'a Rust program (ripgrep) finds what it finds on the host',
      needs: ['rg'],
      script: `seq 1 5000 >list; rg -c '7' list; rg -n '^(\\d)\\d\\1\\d$' -P list | head -5; rg -o '4[0-9]{2}9' list | head -20; rg -i 'linux|unix' /etc/services /etc/mime.types --sort path --stats 2>/dev/null | grep -v seconds`,
    },
    {
      title: 'a static Rust program compiled on the host runs in the guest',
      needs: rust ? [] : ['rustc'],
      script: './program 2>/dev/null',
      code: 21,
      prepare: compileRust,
    },
    {
      title: 'stress-ng verifies its CPU methods',
      needs: ['stress-ng'],
      script: `for method in bitops clongdouble crc16 decimal64 div64 fft float80 floatconversion gamma hyperbolic idct int128 int32double int64float jmp matrixprod nsqrt parity prime psi queens sieve sqrt trig; do
  stress-ng --cpu 1 --cpu-method $method --cpu-ops 1 --verify --temp-path . >log 2>&1 && echo $method passed || { echo $method failed; cat log; exit 1; }
done`,
    },
    {
      title: 'stress-ng verifies its memory methods',
      needs: ['stress-ng'],
      script: `for method in flip galpat-0 gray rand-set ror swap modulo-x write64; do
  stress-ng --vm 1 --vm-bytes 1m --vm-method $method --vm-ops 1 --verify --temp-path . >log 2>&1 && echo $method passed || { echo $method failed; cat log; exit 1; }
done`,
    },
  ],
  { memoryMiB: 768 },
);
