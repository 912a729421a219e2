/** The query of a publication. */

/** Query parameters of a publication, with the short names of EMQX's gateway. */
export interface PublishQuery {
  readonly qos: 0 | 1 | 2 | undefined;
  readonly retain: boolean | undefined;
  /** Seconds. */
  readonly expiry: number | undefined;
}

const NO_QUERY: PublishQuery = { qos: undefined, retain: undefined, expiry: undefined };

/** Reads the query; null if a parameter that we know has a value that we do not. Others are left to whom they concern. */
export function readPublishQuery(query: readonly string[]): PublishQuery | null {
  if (query.length === 0) return NO_QUERY;
  let { qos, retain, expiry } = NO_QUERY;
  for (const argument of query) {
    const at = argument.indexOf('=');
    const name = at < 0 ? argument : argument.slice(0, at);
    const value = at < 0 ? '' : argument.slice(at + 1);
    switch (name) {
      case 'qos':
      case 'q':
        if (value !== '0' && value !== '1' && value !== '2') return null;
        qos = Number(value) as 0 | 1 | 2;
        break;
      case 'retain':
      case 'r':
        if (!['true', 'false', '1', '0'].includes(value)) return null;
        retain = value === 'true' || value === '1';
        break;
      case 'expiry':
        if (!/^\d{1,10}$/.test(value) || Number(value) > 0xffffffff) return null;
        expiry = Number(value);
        break;
    }
  }
  return { qos, retain, expiry };
}
