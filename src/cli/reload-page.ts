/** docs/reload.md: what a reload makes of every option. */
import { listenerSchemas, options } from '../config/options.js';
import { RELOADING, type When, whenOf, wordsOf } from '../config/reloading.js';

const HEAD = `# Reload

<!-- Generated from src/config/reloading.ts by node dist/src/cli/generate.js. -->

SIGHUP makes the running broker read its configuration again: the same file, in our form or a [mosquitto.conf](mosquitto.md), the
same variables and arguments, and the files that it names. Clients stay connected.

\`\`\`sh
kill -HUP PID
systemctl reload portico          # deploy/portico.service checks first, and says what is wrong
docker kill --signal HUP NAME
\`\`\`

The log has a line for each option that has changed, with its old and new value and the line that says it; lists, which may have
passwords in URIs, without values. What needs a restart is a warning, and it is told again at each reload until then:

\`\`\`
reload: the configuration is read again
reload: limits.connections is 500 instead of 100 (/etc/portico/portico.yaml:12): at once
reload: mqtt.max_qos is 1 instead of 2 (/etc/portico/portico.yaml:20): for what connects from now on
reload: store.sync is "never" instead of "always" (/etc/portico/portico.yaml:7): this needs a restart
reload: access.password_file: what is in /etc/portico/passwords has changed: at once
reload: clients that may not connect any more, and were sent away: 1
reload: done
\`\`\`

Everything is read before anything is replaced. **A fault, in whichever file, leaves everything as it was**: the log has a line for
each fault, as at the start, and \`reload: nothing was changed; what was in force before still is\`. \`portico check\` finds the same faults
without a broker. \`$SYS/broker/reload/...\` and \`portico_reload...\` tell how often it was done, when last, and whether it failed then
([all](sys.md)).

## Who is sent away

As with Mosquitto, a client that could not connect any more is disconnected, with 0x87 (Not authorized) in MQTT 5.0, and its will is
published:

- one that came with a user name and password, if its user is gone from \`access.password_file\`, or from that of its
  [listener](listeners.md#users-and-rules-of-a-listener), or has another line there. Passwords are
  not kept in memory, so a password that was hashed again counts as another one; its client comes back with it. With a first password file
  that is everybody who came with a name, since nobody has been asked so far;
- one that a token or the server of logins has let in, if there is no such back-end any more, or the password file has its user
  now. With a first back-end, who came with a name that no password file has. A token that another key would refuse is not looked at again;
- one that came without a user name, if \`allow_anonymous\` does not let it in any more. CoAP devices without credentials are refused from
  their next request on; what they observe ends when they ask for it again, and is for the access control list to deny before;
- a CoAP device whose pre-shared or raw public key is gone or another one, or that has shown a certificate while the CAs or the lists of revoked ones have changed since the
  last reload: its association or connection ends;
- a client of \`mqtts\` or \`wss\` whose pre-shared key is gone or another one, whoever CONNECT says that it is, and also before CONNECT.

Who has authenticated by SCRAM, by a key or by a certificate is not asked for the password file. An access control list acts at once: on what
is published, on what the subscriptions there are deliver, and on what waits for clients that are away. A subscription that can
deliver nothing any more stays, and delivers again when the list lets it.

## Watched files

Certificates, keys, CAs and lists of revoked ones are watched, those of listeners of every type as well as those of devices that are
asked (\`coap.device_..._file\`), and so are the secrets, keys, CAs and tokens of [back-ends](authentication.md#which-of-them-is-asked)
(\`access.jwt_..._file\`, \`access.http_..._file\`): what is in them is taken half a second after the last change, and **no connection is dropped** ([how](tls.md#renewal)).
All other files are read at a reload only, as by Mosquitto: passwords, SCRAM users, access control lists, and the pre-shared and public keys of
\`access.psk_file\`, \`access.public_key_file\` and \`coap.device_psk_file\`. They say who may do what, and who is sent away; an
editor's half-written file should not.

A broker that [root has started as another user](configuration.md#started-as-root) reads everything as that user: the log names each file that
only root may read, and what was in force before still is.

## Terminals

A terminal that is closed sends SIGHUP, too. If standard input, output or error was a terminal at the start and is gone, the
broker ends as after SIGTERM, with everything written, and then by the signal itself; it would go on unseen otherwise. While the
terminal is there, SIGHUP is a reload. What is to outlive its terminal is started without one: by systemd, in a container, or with
\`nohup\` or \`setsid\` and \`< /dev/null\`. SIGHUP during the start is a reload after it.

## Options

*at once*: for everybody. *new*: for connections, sessions and handshakes that begin from then on. *restart*: what there was stays in
force until the broker is started again, for the reason beside it.

| Option | Takes effect | What it means for those who are connected |
|---|---|---|`;

const TAIL = `
Of a list of listeners those are the same that have the same type, host and port, or path of a Unix socket. One that comes or goes needs a
restart.

## What differs from Mosquitto

\`test/interop/mosquitto-beside.test.ts\` changes the same files for Debian's mosquitto and for Portico, sends both SIGHUP, and compares
what clients see. It is the same, but for this: after a reload with a fault in the ACL file, Mosquitto 2.0 goes on without a list, and
everybody may do everything; Portico goes on with the list that it had. \`plugin_opt_...\` lines, \`max_keepalive\`,
\`max_inflight_messages\` and \`retain_available\`, which Mosquitto reads at the start only, are read again.`;

const EFFECT: Readonly<Record<When, string>> = { 'at once': 'at once', new: 'new', restart: 'restart' };

function row(names: string, name: string): string {
  return `| ${names} | ${EFFECT[whenOf(name)]} | ${wordsOf(name)} |`;
}

export function reloadPage(): string {
  const rows: string[] = [];
  for (const { name } of options) {
    if (name === 'listeners') rows.push(...listenerRows());
    else rows.push(row(`\`${name}\``, name));
  }
  return `${[HEAD, ...rows].join('\n')}\n${TAIL}\n`;
}

function listenerRows(): string[] {
  const rows = new Map<string, { readonly name: string; readonly types: readonly string[] }>();
  for (const [type, { shape }] of listenerSchemas) {
    for (const name of Object.keys(shape)) {
      const option = `listeners.${type}.${name}`;
      if (!Object.hasOwn(RELOADING, option)) continue;
      // Types with the same words share a line.
      const key = `${name} ${whenOf(option)} ${wordsOf(option)}`;
      const { types } = rows.get(key) ?? { types: [] };
      rows.set(key, { name, types: [...types, type] });
    }
  }
  const own = [...rows.values()].map(({ name, types }) => {
    const said = types.map((type) => `\`${type}\``).join(', ');
    return row(`\`${name}\` of a listener of type ${said}`, `listeners.${types[0]}.${name}`);
  });
  return [...own, row('`listeners`: anything else', 'listeners.*')];
}
