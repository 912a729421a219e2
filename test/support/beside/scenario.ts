/**
 * What is played to Debian's mosquitto and to Portico: one configuration, one script, and what its clients see.
 *
 * A script is a list of steps, a line each: `VERB NAME WORDS...`, where NAME is a client. `~` in a word stands for a text of
 * this run alone, so that scripts on one broker have topics and client identifiers of their own.
 *
 * | step | what it does, and tells |
 * |---|---|
 * | `come A [KEY=VALUE...]` | connects; the code of CONNACK, and whether a session was there. Keys: see {@link Coming} |
 * | `told A PROPERTY...` | properties of that CONNACK |
 * | `sub A FILTER QOS [nl] [rap] [rh=N] [id=N]` | subscribes; the code of SUBACK |
 * | `unsub A FILTER` | unsubscribes; the code of UNSUBACK |
 * | `pub A TOPIC PAYLOAD QOS [r] [PROPERTY=VALUE...]` | publishes; the code of the acknowledgement. `-` is an empty payload, `*N` is N bytes |
 * | `sees A [N]` | the messages since the last look; with N it waits for so many first |
 * | `is A` | whether the connection is there |
 * | `gone A` | waits for the end of the connection; the code of DISCONNECT, if there was one |
 * | `open A [at=LISTENER]` | connects without CONNECT |
 * | `raw A HEX` | sends bytes; what comes, up to the end of the connection |
 * | `says A HEX` | sends bytes and a PINGREQ; what comes, up to its answer |
 * | `leave A [CODE] [expiry=N]` | sends DISCONNECT; returns when the connection is closed |
 * | `cut A` | closes the connection without DISCONNECT |
 * | `reload` | the files of `after` are written, and the broker gets SIGHUP |
 * | `restart` | the broker is ended with SIGTERM and started again |
 */
export type Step = string;

/** Files that a configuration names; `@` stands for their folder, `<NAME>` for a free port, the same in one run. */
export interface Files {
  /** mosquitto.conf. */
  readonly conf: string;
  /** Users and their passwords, in `@/passwords`. */
  readonly users?: Readonly<Record<string, string>>;
  /** `@/acl`. */
  readonly acl?: string;
  /** Users of further password files, by the names of those. */
  readonly further?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Further texts, by the names of their files. */
  readonly lists?: Readonly<Record<string, string>>;
  /** Files in `@/conf.d`, by name. */
  readonly included?: Readonly<Record<string, string>>;
}

/** A difference that is meant; the lines are those that the other one does not show. */
export interface Meant {
  /** Keys of the table of differences, with spaces between them. */
  readonly why: string;
  readonly mosquitto: readonly string[];
  readonly portico: readonly string[];
}

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Versions of MQTT that it is played with, 4 and 5 unless said. */
  readonly versions?: readonly (3 | 4 | 5)[];
  /** What `reload` changes. A scenario that changes its broker has one of its own. */
  readonly after?: Partial<Files>;
  /** Lines that differ, where they do; those that begin with `[4] ` are of that version only. */
  readonly meant?: Meant;
}

/** Scenarios of one configuration, which share a broker unless they change it. */
export interface Group extends Files {
  readonly title: string;
  readonly scenarios: readonly Scenario[];
}

/** Keys of `come`. */
export interface Coming {
  /** The listener: its `<NAME>` in the configuration; `main` unless said. One whose name begins with `ws` speaks WebSocket. */
  at?: string;
  id?: string;
  user?: string;
  pass?: string;
  /** 0 asks for the session that is there; 1 unless said. */
  clean?: string;
  /** Keep Alive, 60 unless said. */
  keep?: string;
  /** Session Expiry Interval. */
  expiry?: string;
  /** Receive Maximum. */
  rm?: string;
  /** Maximum Packet Size. */
  mps?: string;
  /** Topic Alias Maximum. */
  tam?: string;
  /** `TOPIC:PAYLOAD:QOS`, with `:r` behind it if it is retained. */
  will?: string;
  /** Will Delay Interval. */
  delay?: string;
  /** 1: messages are not acknowledged. */
  hold?: string;
}

/** Lines of `mine` that are not in `others`; each as often as it is missing. */
export function only(mine: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return mine.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** The lines that are said to differ, for one version. */
export function ofVersion(lines: readonly string[], version: number): string[] {
  return lines
    .filter((line) => !/^\[\d\] /.test(line) || line.startsWith(`[${version}] `))
    .map((line) => line.replace(/^\[\d\] /, ''));
}
