/** The pages that an http listener serves: `/metrics` for Prometheus, `/health` for whoever starts it again. */
import type { Page } from '../listeners/http.js';
import { healthOf } from './health.js';
import { expose } from './prometheus.js';
import type { Instruments } from './reading.js';

export function pagesOf(instruments: Instruments): ReadonlyMap<string, Page> {
  const metrics: Page = async (accept) => {
    const { type, text } = await expose(await instruments.read(), accept);
    return { status: 200, type, body: text };
  };
  const health: Page = async () => {
    const state = healthOf(await instruments.read());
    const status = state.status === 'ok' ? 200 : 503;
    return { status, type: 'application/json', body: `${JSON.stringify(state)}\n` };
  };
  return new Map([
    ['/metrics', metrics],
    ['/health', health],
  ]);
}
