/** `npm run soak`: builds what is stale, then runs the soak; arguments after `--` are the soak's. */
import { buildIfStale, installPackages, requireNode } from './prepare.mjs';

requireNode();
installPackages();
buildIfStale('all');
await import('../dist/bench/soak/run.js');
