/**
 * What Node.js is told when it runs the broker (docs/decisions/0014-garbage.md). A small young generation makes collections short
 * and frequent and the process 35 MB smaller; marking that runs in threads of its own would take the core from the broker for
 * milliseconds where it has but one; a heap that may double before it is marked is not marked again and again for buffers that
 * come and go. The `portico` command, `npm start` and `deploy/` say the same.
 */
export const NODE_FLAGS: readonly string[] = [
  '--min-semi-space-size=4',
  '--max-semi-space-size=4',
  '--no-concurrent-marking',
  '--no-parallel-scavenge',
  '--heap-growing-percent=100',
];
