/** Random valid packets of every type. */
import fc, { type Arbitrary } from 'fast-check';
import type { Properties } from '../../src/wire/packets.js';
import type { ProtocolVersion } from '../../src/wire/protocol.js';
import type { AnyPacket } from '../packets.js';

const text = fc.string({ unit: 'binary', maxLength: 10 }).filter((value) => !value.includes('\0'));
const topicName = text.filter((value) => value !== '' && !/[#+]/.test(value));
const bytes = fc.uint8Array({ maxLength: 200 }).map((value) => Buffer.from(value));
const u16 = fc.nat({ max: 0xffff });
const positive16 = fc.integer({ min: 1, max: 0xffff });
const u32 = fc.nat({ max: 0x7fffffff }).map((value) => value * 2 + (value & 1));
const positive32 = u32.map((value) => Math.max(1, value));
const qos = fc.constantFrom(0, 1, 2);
const flag = fc.boolean();
const identifier = fc.integer({ min: 1, max: 268435455 });
// Names that are no number and no member of Object, because an object keeps those in another order or not at all; and
// values that are not empty, because mqtt-packet loses an empty one when its name comes again.
const pair = fc.tuple(
  fc.oneof(fc.constant('k'), text).map((name) => `k${name}`),
  text.filter((value) => value !== ''),
);
const userProperties = fc.array(pair, { minLength: 1, maxLength: 4 });

/** A plain object, as packets are. */
function record<T>(fields: { [Name in keyof T]: Arbitrary<T[Name]> }): Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true });
}

type Fields = { [Name in keyof Properties]?: Arbitrary<NonNullable<Properties[Name]>> };

function properties(fields: Fields): Arbitrary<Properties> {
  return fc.record({ ...fields, userProperties } as Required<Fields>, { requiredKeys: [], noNullPrototype: true });
}

const message: Fields = {
  payloadFormatIndicator: flag,
  messageExpiryInterval: u32,
  contentType: text,
  responseTopic: text.filter((value) => !/[#+]/.test(value)),
  correlationData: bytes,
};

/** `properties` in MQTT 5.0, nothing before. */
function withProperties(version: ProtocolVersion, fields: Fields): { properties?: Arbitrary<Properties> } {
  return version === 5 ? { properties: properties(fields) } : {};
}

function connect(version: ProtocolVersion): Arbitrary<AnyPacket> {
  const base = {
    cmd: fc.constant('connect' as const),
    protocolId: fc.constant(version === 3 ? 'MQIsdp' : 'MQTT'),
    protocolVersion: fc.constant(version),
    bridgeMode: version === 5 ? fc.constant(false) : flag,
    clean: flag,
    clientId: text.map((value) => `c${value}`),
    keepalive: u16,
    ...withProperties(version, {
      sessionExpiryInterval: u32,
      requestProblemInformation: flag,
      requestResponseInformation: flag,
      receiveMaximum: positive16,
      topicAliasMaximum: u16,
      maximumPacketSize: positive32,
    }),
  };
  const will = record({
    topic: topicName,
    payload: bytes,
    qos,
    retain: flag,
    ...withProperties(version, { ...message, willDelayInterval: u32 }),
  });
  return fc.oneof(
    record(base),
    record({ ...base, username: text, password: bytes }),
    record({ ...base, will }),
    record({ ...base, will, username: text }),
  ) as Arbitrary<AnyPacket>;
}

function publish(version: ProtocolVersion, direction: 'client' | 'server'): Arbitrary<AnyPacket> {
  const identifiers = fc.oneof(identifier, fc.array(identifier, { minLength: 2, maxLength: 3 }));
  const fields: Fields = { ...message, topicAlias: positive16 };
  if (direction === 'server') fields.subscriptionIdentifier = identifiers;
  const base = {
    cmd: fc.constant('publish' as const),
    topic: topicName,
    payload: bytes,
    retain: flag,
    ...withProperties(version, fields),
  };
  return fc.oneof(
    record({ ...base, qos: fc.constant(0), dup: fc.constant(false), messageId: fc.constant(0) }),
    record({ ...base, qos: fc.constantFrom(1, 2), dup: flag, messageId: positive16 }),
  ) as Arbitrary<AnyPacket>;
}

function acknowledgement(version: ProtocolVersion): Arbitrary<AnyPacket> {
  const answer = fc.constantFrom(0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
  const release = fc.constantFrom(0, 0x92);
  const old = fc.constant(0);
  const cmd = (...names: string[]) => fc.constantFrom(...names);
  return fc.oneof(
    record({ cmd: cmd('puback', 'pubrec'), messageId: positive16, reasonCode: version === 5 ? answer : old }),
    record({ cmd: cmd('pubrel', 'pubcomp'), messageId: positive16, reasonCode: version === 5 ? release : old }),
  ) as Arbitrary<AnyPacket>;
}

function subscribe(version: ProtocolVersion): Arbitrary<AnyPacket> {
  const isNew = version === 5;
  const no = fc.constant(false);
  const subscription = record({
    topic: topicName,
    qos,
    nl: isNew ? flag : no,
    rap: isNew ? flag : no,
    rh: isNew ? fc.constantFrom(0, 1, 2) : fc.constant(0),
  });
  return fc.oneof(
    record({
      cmd: fc.constant('subscribe' as const),
      messageId: positive16,
      subscriptions: fc.array(subscription, { minLength: 1, maxLength: 4 }),
      ...withProperties(version, { subscriptionIdentifier: identifier }),
    }),
    record({
      cmd: fc.constant('unsubscribe' as const),
      messageId: positive16,
      unsubscriptions: fc.array(topicName, { minLength: 1, maxLength: 4 }),
      ...withProperties(version, {}),
    }),
  ) as Arbitrary<AnyPacket>;
}

function granted(version: ProtocolVersion): Arbitrary<AnyPacket> {
  const codes = fc.constantFrom(
    ...(version === 5 ? [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e] : [0, 1, 2, 0x80]),
  );
  const released = fc.constantFrom(0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91);
  const one = { minLength: 1, maxLength: 5 };
  return fc.oneof(
    record({
      cmd: fc.constant('suback' as const),
      messageId: positive16,
      granted: fc.array(codes, one),
      ...withProperties(version, { reasonString: text }),
    }),
    record({
      cmd: fc.constant('unsuback' as const),
      messageId: positive16,
      granted: version === 5 ? fc.array(released, one) : fc.constant([]),
      ...withProperties(version, { reasonString: text }),
    }),
  ) as Arbitrary<AnyPacket>;
}

function connack(version: ProtocolVersion): Arbitrary<AnyPacket> {
  const cmd = fc.constant('connack' as const);
  if (version < 5) {
    return record({ cmd, sessionPresent: version === 3 ? fc.constant(false) : flag, reasonCode: fc.constant(0) });
  }
  const fields = {
    cmd,
    properties: properties({
      sessionExpiryInterval: u32,
      assignedClientIdentifier: text,
      serverKeepAlive: u16,
      authenticationMethod: text,
      authenticationData: bytes,
      responseInformation: text,
      serverReference: text,
      reasonString: text,
      receiveMaximum: positive16,
      topicAliasMaximum: u16,
      maximumQoS: fc.constantFrom(0, 1),
      retainAvailable: flag,
      maximumPacketSize: positive32,
      wildcardSubscriptionAvailable: flag,
      subscriptionIdentifiersAvailable: flag,
      sharedSubscriptionAvailable: flag,
    }),
  };
  return fc.oneof(
    record({ ...fields, sessionPresent: flag, reasonCode: fc.constant(0) }),
    record({
      ...fields,
      sessionPresent: fc.constant(false),
      reasonCode: fc.constantFrom(0x80, 0x87, 0x8c, 0x97, 0x9f),
    }),
  );
}

function disconnect(version: ProtocolVersion, direction: 'client' | 'server'): Arbitrary<AnyPacket> {
  const cmd = fc.constant('disconnect' as const);
  if (version < 5) return record({ cmd, reasonCode: fc.constant(0) });
  const reasons = direction === 'client' ? [0, 0x04, 0x81, 0x97] : [0, 0x8b, 0x8e, 0x9d];
  const own: Fields = direction === 'client' ? { sessionExpiryInterval: u32 } : { serverReference: text };
  return record({
    cmd,
    reasonCode: fc.constantFrom(...reasons),
    properties: properties({ ...own, reasonString: text }),
  });
}

function auth(direction: 'client' | 'server'): Arbitrary<AnyPacket> {
  return record({
    cmd: fc.constant('auth' as const),
    reasonCode: fc.constantFrom(0x18, direction === 'client' ? 0x19 : 0x18),
    properties: fc
      .tuple(text, properties({ authenticationData: bytes, reasonString: text }))
      .map(([authenticationMethod, rest]) => ({ ...rest, authenticationMethod })),
  });
}

/** Any packet that `direction` sends. Without `opening`, none that opens a connection. */
export function any(direction: 'client' | 'server', version: ProtocolVersion, opening = true): Arbitrary<AnyPacket> {
  const kinds: Arbitrary<AnyPacket>[] = [
    publish(version, direction),
    publish(version, direction),
    acknowledgement(version),
  ];
  if (direction === 'client') {
    kinds.push(subscribe(version), disconnect(version, direction), fc.constant({ cmd: 'pingreq' }));
    if (opening) kinds.push(connect(version), connect(version));
  } else {
    kinds.push(granted(version), fc.constant({ cmd: 'pingresp' }));
    if (version === 5) kinds.push(disconnect(version, direction));
    if (opening) kinds.push(connack(version));
  }
  if (version === 5) kinds.push(auth(direction));
  return fc.oneof(...kinds);
}
