/** Control packets as objects. Field names are mqtt-packet's, so that hooks written for Aedes see what they know. */
import type { ProtocolVersion, QoS } from './protocol.js';

/**
 * MQTT 5.0 properties, by mqtt-packet's names. User properties are pairs, where mqtt-packet has an object: so they keep
 * their order and duplicates [MQTT-3.3.2-18].
 */
export interface Properties {
  payloadFormatIndicator?: boolean;
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  subscriptionIdentifier?: number | number[];
  sessionExpiryInterval?: number;
  assignedClientIdentifier?: string;
  serverKeepAlive?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  requestProblemInformation?: boolean;
  willDelayInterval?: number;
  requestResponseInformation?: boolean;
  responseInformation?: string;
  serverReference?: string;
  reasonString?: string;
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  topicAlias?: number;
  maximumQoS?: number;
  retainAvailable?: boolean;
  userProperties?: [string, string][];
  maximumPacketSize?: number;
  wildcardSubscriptionAvailable?: boolean;
  subscriptionIdentifiersAvailable?: boolean;
  sharedSubscriptionAvailable?: boolean;
}

export interface WillPacket {
  topic: string;
  payload: Buffer;
  qos: QoS;
  retain: boolean;
  properties?: Properties;
}

export interface ConnectPacket {
  cmd: 'connect';
  protocolId: string;
  protocolVersion: ProtocolVersion;
  /** The high bit of the protocol level: a bridge of Mosquitto's kind. */
  bridgeMode: boolean;
  clean: boolean;
  clientId: string;
  /** Seconds; 0 for none. */
  keepalive: number;
  username?: string;
  password?: Buffer;
  will?: WillPacket;
  properties?: Properties;
}

export interface SubscribePacket {
  cmd: 'subscribe';
  messageId: number;
  subscriptions: { topic: string; qos: QoS; nl: boolean; rap: boolean; rh: 0 | 1 | 2 }[];
  properties?: Properties;
}

export interface UnsubscribePacket {
  cmd: 'unsubscribe';
  messageId: number;
  unsubscriptions: string[];
  properties?: Properties;
}

export interface DisconnectPacket {
  cmd: 'disconnect';
  reasonCode: number;
  properties?: Properties;
}

export interface AuthPacket {
  cmd: 'auth';
  reasonCode: number;
  properties?: Properties;
}

export interface ConnackPacket {
  cmd: 'connack';
  sessionPresent: boolean;
  /** Reason code of MQTT 5.0; return code before it. */
  reasonCode: number;
  properties?: Properties;
}

export interface SubackPacket {
  cmd: 'suback';
  messageId: number;
  granted: number[];
  properties?: Properties;
}

export interface UnsubackPacket {
  cmd: 'unsuback';
  messageId: number;
  /** Empty before MQTT 5.0. */
  granted: number[];
  properties?: Properties;
}
