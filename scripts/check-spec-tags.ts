// Every tag that cites a specification names a document that docs/specs.md lists with its revision.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, report, sourcesUnder } from './sources.ts';

const known = new Set<string>();
for (const [, key] of readFileSync(join(ROOT, 'docs/specs.md'), 'utf8').matchAll(/^\| `([^`]+)` \|/gm)) {
  known.add(key ?? '');
}

const problems: string[] = [];
for (const folder of ['src', 'scripts', 'test']) {
  for (const { path, text } of sourcesUnder(folder)) {
    text.split('\n').forEach((line, index) => {
      for (const [, key] of line.matchAll(/@(?:spec|unsupported) ([^\s*]+)/g)) {
        if (!known.has(key ?? '')) problems.push(`${path}:${index + 1}: docs/specs.md has no document "${key}"`);
      }
    });
  }
}
report(problems);
