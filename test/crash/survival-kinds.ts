/** The kinds of things that a broker may lose, which are the rows of docs/durability.md, and the events that are its columns. */

export const SYNCS = ['always', 'interval', 'never'] as const;
export const EVENTS = ['client gone', 'restart', 'kill -9', 'power cut', 'disk full'] as const;
export const KINDS = [
  'QoS 0 message',
  'QoS 1 message to a kept session, client away',
  'QoS 2 message to a kept session, client away',
  'QoS 1 message to a kept session, sent, not acknowledged',
  'QoS 2 message to a kept session, sent, not acknowledged',
  'Message to a shared subscription of kept sessions',
  'What an ended session leaves to the others of its shared subscription',
  'Message to a session that ends with its connection',
  'QoS 2 publication between PUBREC and PUBREL, session kept',
  'Retained message',
  'Retained message of QoS 0, once written',
  'That a retained message was cleared',
  'Retained message that a new subscription has not been sent yet, session kept',
  'Kept session',
  'Its subscription',
  'That a subscription was ended',
  'Will of a connected client',
  'Will that waits for its delay',
  'Value that CoAP has put',
  'Observation of CoAP',
] as const;

export type Sync = (typeof SYNCS)[number];
export type Event = (typeof EVENTS)[number];
export type Kind = (typeof KINDS)[number];

/** Kinds that an event takes away, whatever `store.sync` is. */
const LOST: Partial<Record<Kind, readonly Event[]>> = {
  'QoS 0 message': EVENTS,
  'Message to a session that ends with its connection': EVENTS,
  'Retained message that a new subscription has not been sent yet, session kept': ['kill -9', 'power cut', 'disk full'],
  'Observation of CoAP': EVENTS,
};

/** Whether a kind is there after an event. With `never`, nothing that only the operating system has survives. */
export function survives(kind: Kind, event: Event, sync: Sync): boolean {
  if (event === 'power cut' && sync === 'never') return false;
  return LOST[kind]?.includes(event) !== true;
}

/** What a damaged file may make of a kind; the words are those of the table. */
export const DAMAGED = {
  'QoS 0 message': 'not stored',
  'QoS 1 message to a kept session, client away': 'yes, or set aside',
  'QoS 2 message to a kept session, client away': 'yes, or set aside',
  'QoS 1 message to a kept session, sent, not acknowledged': 'yes, or set aside',
  'QoS 2 message to a kept session, sent, not acknowledged': 'yes, or set aside',
  'Message to a shared subscription of kept sessions': 'yes, or set aside',
  'What an ended session leaves to the others of its shared subscription': 'yes, or set aside',
  'Message to a session that ends with its connection': 'not stored',
  'QoS 2 publication between PUBREC and PUBREL, session kept': 'yes, or set aside',
  'Retained message': 'yes, or set aside',
  'Retained message of QoS 0, once written': 'yes, or set aside',
  'That a retained message was cleared': 'yes, or undone',
  'Retained message that a new subscription has not been sent yet, session kept': 'not stored',
  'Kept session': 'yes, or set aside',
  'Its subscription': 'yes, or set aside',
  'That a subscription was ended': 'yes, or undone',
  'Will of a connected client': 'yes, or set aside',
  'Will that waits for its delay': 'yes, or set aside',
  'Value that CoAP has put': 'yes, or set aside',
  'Observation of CoAP': 'not stored',
} as const satisfies Record<Kind, 'yes, or set aside' | 'yes, or undone' | 'not stored'>;

/** The title of the test of a cell. */
export const titleOf = (kind: Kind, event: Event, sync: Sync): string => `${kind}: ${event}, store.sync ${sync}`;
