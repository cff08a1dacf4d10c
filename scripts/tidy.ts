// House rules that neither compiler nor linter knows.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isTest, ROOT, report, type SourceFile, sourcesUnder } from './sources.ts';

/** Functions just above the limit are sent back; a really long one is a deliberate act (a flat dispatch in a spec's order). */
const LONG_FUNCTION = { from: 61, to: 70 };

/** Words that say "not finished"; written in two halves so that this file passes its own check. */
const MARKERS = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);

/** Paths that exist on somebody's machine only. */
const MACHINE_PATHS = /(?:^|[\s'"`(=])\/(?:home|Users|work)\/[A-Za-z]/;

const PROSE = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs/specs.md',
  'docs/dependencies.md',
];

const sources = ['src', 'scripts', 'test'].flatMap(sourcesUnder);
const prose = PROSE.map((path): SourceFile => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
report([
  ...[...sources, ...prose].flatMap(leftovers),
  ...sources.filter((file) => file.path.startsWith('src/') && !isTest(file.path)).flatMap(undocumented),
  ...sources.flatMap(longFunctions),
]);

function leftovers({ path, text }: SourceFile): string[] {
  return text.split('\n').flatMap((line, index) => {
    const at = `${path}:${index + 1}`;
    const found: string[] = [];
    if (MARKERS.test(line)) found.push(`${at}: leftover marker`);
    if (MACHINE_PATHS.test(line)) found.push(`${at}: path of one machine`);
    return found;
  });
}

/** A file says what it is for, and so does each exported class. Small functions may speak through their names. */
function undocumented({ path, text }: SourceFile): string[] {
  const found =
    /\/\*\*|^\/\/ /m.test(text) || /^(export (type )?\{[^}]*\} from '[^']+';\s*)+$/.test(text)
      ? []
      : [`${path}: has no doc comment`];
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    const name = /^export (?:abstract )?class (\w+)/.exec(line)?.[1];
    if (name !== undefined && !/\*\/\s*$/.test(lines[index - 1] ?? ''))
      found.push(`${path}:${index + 1}: ${name} has no doc comment`);
  });
  return found;
}

/** Counts lines by indentation, which the formatter guarantees. */
function longFunctions({ path, text }: SourceFile): string[] {
  const found: string[] = [];
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    const start =
      /^(\s*)(?:export |async |static |private |get |set |\*)*(?:function\*? ?)?#?([\w$]+)(?:<[^>]*>)?\([^;]*\{$/.exec(
        line,
      );
    if (start === null || /^(if|for|while|switch|catch|test|describe)$/.test(start[2] ?? '')) return;
    // A function in an object ends in "},", one handed to a call in "});".
    const end = lines.findIndex((other, at) => at > index && other.replace(/[,;)]+$/, '') === `${start[1]}}`);
    const length = end - index + 1;
    if (end > 0 && length >= LONG_FUNCTION.from && length <= LONG_FUNCTION.to) {
      found.push(`${path}:${index + 1}: ${start[2]} has ${length} lines, a little above ${LONG_FUNCTION.from - 1}`);
    }
  });
  return found;
}
