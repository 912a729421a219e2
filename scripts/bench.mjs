/** `npm run bench`: builds what is stale, then runs the benchmark; arguments after `--` are the benchmark's. */
import { buildIfStale, installPackages, requireNode } from './prepare.mjs';

requireNode();
installPackages();
buildIfStale('all');
await import('../dist/bench/run.js');
