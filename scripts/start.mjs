/** `npm start`: installs and builds what is missing, then is the broker; arguments after `--` are the broker's. */
import { buildIfStale, installPackages, requireNode } from './prepare.mjs';

requireNode();
installPackages();
buildIfStale('start');
// In this process: a second one would cost time and stand between the broker and its signals.
await import('../dist/src/main.js');
