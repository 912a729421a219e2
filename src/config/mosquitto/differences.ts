/**
 * What Portico does otherwise than Mosquitto with the same mosquitto.conf, on purpose. docs/mosquitto.md lists them, and
 * test/interop/mosquitto-beside.test.ts and test/interop/mosquitto-errors.test.ts prove both sides.
 */

export interface Difference {
  /** The version of Mosquitto that does otherwise: the newest, or only 2.0, as Debian has it. */
  readonly from: '2.1' | '2.0';
  /** What Portico does, and what Mosquitto. Markdown, without a full stop at its end. */
  readonly says: string;
}

export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  password: {
    from: '2.1',
    says:
      'A wrong user name or password is answered with the code that the specification has for it: 0x86 (Bad User Name or ' +
      'Password), and 4 before MQTT 5.0; Mosquitto says 0x87 and 5 (not authorized). Clients without a user name hear the same ' +
      'from both',
  },
  busy: {
    from: '2.1',
    says: 'A client beyond `max_connections` is told that the server is busy; Mosquitto closes its connection without a word',
  },
  nobody: {
    from: '2.1',
    says:
      'PUBREC, as PUBACK, says that nobody subscribes (0x10), which the specification has for both of them; Mosquitto says it in ' +
      'PUBACK only',
  },
  'empty-id': {
    from: '2.1',
    says:
      'With `allow_zero_length_clientid false` a client of MQTT 5.0 without a client identifier hears 0x85 (Client Identifier not ' +
      'valid), the code that the specification has for it; Mosquitto says 0x80',
  },
  payload: {
    from: '2.1',
    says:
      'A publication beyond `message_size_limit` is acknowledged with Quota exceeded (0x97) in MQTT 5.0; Mosquitto says 0x95, which ' +
      'acknowledgements do not have. For a will with more, 2.1 and Portico answer a client of MQTT 5.0 with 0x95, older ones ' +
      'get 3 here and 5 there',
  },
  'waiting-qos0': {
    from: '2.1',
    says:
      'QoS 0 messages that wait (`queue_qos0_messages`) count by `max_queued_messages` and `max_queued_bytes`, as the manual of ' +
      'Mosquitto has it; Mosquitto itself does not count them, and takes any number',
  },
  overlap: {
    from: '2.1',
    says: 'Overlapping subscriptions of a client get one copy, at the highest QoS; Mosquitto sends one for each',
  },
  'unknown-id': {
    from: '2.1',
    says:
      'PUBREL and PUBCOMP for a packet identifier that is not in use say so (0x92), the code that the specification has for it; ' +
      'those of Mosquitto say 0',
  },
  'refused-will': {
    from: '2.1',
    says:
      'A client before MQTT 5.0 whose will asks for a QoS or for RETAIN that there is not gets CONNACK with 3; Mosquitto closes ' +
      'its connection without a word',
  },
  'sent-away': {
    from: '2.1',
    says:
      'A client of MQTT 5.0 that may not connect any more after a reload hears Not authorized (0x87); Mosquitto closes some of ' +
      'those connections without a word',
  },
  fault: {
    from: '2.1',
    says:
      'A reload with a fault changes nothing, and what was in force before still is; Mosquitto 2.0 goes on without the list that ' +
      'has the fault, and 2.1 ends',
  },
  reloaded: {
    from: '2.1',
    says: '`max_keepalive`, `max_inflight_messages` and `retain_available` are read again by SIGHUP; Mosquitto keeps the old ones',
  },
  'mount-unsubscribe': {
    from: '2.1',
    says: 'UNSUBSCRIBE at a listener with `mount_point` ends the subscription; Mosquitto says that there is none (0x11)',
  },
  codes: {
    from: '2.1',
    says:
      'What the specification calls a Protocol Error is answered with 0x82: SUBSCRIBE and UNSUBSCRIBE without filters, QoS 3, ' +
      'Retain Handling 3 and Subscription Identifier 0 in SUBSCRIBE, PUBLISH with neither topic nor Topic Alias; Mosquitto says ' +
      'Malformed Packet (0x81). Where the specification leaves a choice the code is that of Mosquitto 2.1',
  },
  'last-word': {
    from: '2.1',
    says:
      'A client of MQTT 5.0 is told the reason code of each error; Mosquitto closes without a word after reserved bits of ' +
      'CONNECT, a second CONNECT and a length of five bytes',
  },
  'packet-size': {
    from: '2.0',
    says: 'CONNACK tells a Maximum Packet Size of 2,000,000; 2.0 has no limit',
  },
  'taken-over': {
    from: '2.0',
    says: 'A client of MQTT 5.0 whose session is taken over is told so (0x8E); 2.0 closes its connection without a word',
  },
  'shared-retained': {
    from: '2.0',
    says: 'A shared subscription gets no retained messages; 2.0 sends them',
  },
  mount: {
    from: '2.0',
    says: 'Clients of a listener with `mount_point` get topics without the prefix; 2.0 leaves it there',
  },
};
