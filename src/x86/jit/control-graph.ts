/**
 * A region's control flow in the shape that WebAssembly can express. Node `dispatch` (the number of blocks) is a virtual block
 * that goes to every entry; an edge into the middle of a loop goes through it as well.
 * @see Ramsey, "Beyond Relooper" (ICFP 2022): emission along the dominator tree
 */
export interface ControlGraph {
  readonly dispatch: number;
  /** Position in reverse post-order, or -1 for blocks that nothing reaches. */
  readonly order: Int32Array;
  /** Blocks that some later block goes back to. */
  readonly loopHeaders: ReadonlySet<number>;
  /** Blocks with several forward predecessors. */
  readonly merges: ReadonlySet<number>;
  /** Children in the dominator tree. */
  readonly children: readonly (readonly number[])[];
  readonly entries: ReadonlySet<number>;
  /** Whether an edge has to go through the dispatch node. */
  viaDispatch(from: number, to: number): boolean;
  /** Some edge does. */
  readonly dispatches: boolean;
}

/**
 * @param successors of each block
 * @param wanted blocks that can be entered from outside
 */
export function buildControlGraph(successors: readonly (readonly number[])[], wanted: Iterable<number>): ControlGraph {
  const count = successors.length;
  const entries = new Set(wanted);
  const via = new Set<number>();
  for (;;) {
    const attempt = analyse(successors, entries, via);
    if (attempt !== undefined) return { ...attempt, dispatch: count, entries, dispatches: via.size > 0, viaDispatch: (from, to) => via.has(from * count + to) };
  }
}

/** One round; undefined when an edge had to be rerouted or an entry added. */
function analyse(
  blocks: readonly (readonly number[])[],
  entries: Set<number>,
  via: Set<number>,
): Pick<ControlGraph, 'order' | 'loopHeaders' | 'merges' | 'children'> | undefined {
  const count = blocks.length;
  const successors = blocks.map((list, from) => list.map((to) => (via.has(from * count + to) ? count : to)));
  successors.push([...entries]);
  const sequence = reversePostOrder(successors, count);
  const order = new Int32Array(count + 1).fill(-1);
  sequence.forEach((node, i) => {
    order[node] = i;
  });
  const predecessors: number[][] = Array.from({ length: count + 1 }, () => []);
  for (const from of sequence) for (const to of successors[from]!) predecessors[to]!.push(from);
  const dominator = dominators(sequence, order, predecessors, count);
  const loopHeaders = new Set<number>();
  let changed = false;
  for (const from of sequence) {
    if (from === count) continue;
    for (const to of blocks[from]!) {
      if (via.has(from * count + to) || order[to]! > order[from]!) continue;
      // A loop can only be left for good, never entered again in the middle: its header is an entry.
      if (!entries.has(to)) {
        entries.add(to);
        changed = true;
      }
      if (dominates(to, from, dominator, count)) loopHeaders.add(to);
      else {
        via.add(from * count + to);
        changed = true;
      }
    }
  }
  if (changed) return undefined;
  const merges = new Set<number>();
  for (const node of sequence) {
    if (node === count) continue;
    const forward = predecessors[node]!.filter((from) => order[from]! < order[node]!);
    if (forward.length > 1 || entries.has(node)) merges.add(node);
  }
  const children: number[][] = Array.from({ length: count + 1 }, () => []);
  for (const node of sequence) if (node !== count) children[dominator[node]!]!.push(node);
  return { order, loopHeaders, merges, children };
}

function reversePostOrder(successors: readonly (readonly number[])[], start: number): number[] {
  const seen = new Uint8Array(successors.length);
  const result: number[] = [];
  const visit = (node: number): void => {
    seen[node] = 1;
    for (const next of successors[node]!) if (seen[next] === 0) visit(next);
    result.push(node);
  };
  visit(start);
  return result.reverse();
}

/** Immediate dominators. @see Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001) */
function dominators(sequence: readonly number[], order: Int32Array, predecessors: readonly (readonly number[])[], root: number): Int32Array {
  const result = new Int32Array(predecessors.length).fill(-1);
  result[root] = root;
  const common = (x: number, y: number): number => {
    let [a, b] = [x, y];
    while (a !== b) {
      while (order[a]! > order[b]!) a = result[a]!;
      while (order[b]! > order[a]!) b = result[b]!;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of sequence) {
      if (node === root) continue;
      let best = -1;
      for (const from of predecessors[node]!) if (result[from] !== -1) best = best < 0 ? from : common(best, from);
      if (result[node] === best) continue;
      result[node] = best;
      changed = true;
    }
  }
  return result;
}

function dominates(a: number, b: number, dominator: Int32Array, root: number): boolean {
  for (let node = b; ; node = dominator[node]!) {
    if (node === a) return true;
    if (node === root) return false;
  }
}
