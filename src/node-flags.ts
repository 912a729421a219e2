/**
 * What Node.js is told when it runs the broker. A small young generation makes collections short and frequent and the
 * process 35 MB smaller; marking that runs in threads of its own would take the core from the broker for milliseconds
 * where it has but one (docs/decisions/0014-garbage.md). The `portico` command, `npm start` and `deploy/` say the same.
 */
export const NODE_FLAGS: readonly string[] = [
  '--min-semi-space-size=4',
  '--max-semi-space-size=4',
  '--no-concurrent-marking',
  '--no-parallel-scavenge',
];
