/** `npm run fuzz`: builds what is stale, then fuzzes the parsers; arguments after `--` are those of test/fuzz/run.ts. */
import { buildIfStale, installPackages, requireNode } from './prepare.mjs';

requireNode();
installPackages();
buildIfStale('all');
await import('../dist/test/fuzz/run.js');
