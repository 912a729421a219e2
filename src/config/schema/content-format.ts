/** A Content-Format of CoAP as an option: one of the usual ones by name, any one by number (RFC 7252 12.3). */
import { z } from 'zod';
import { whole } from './documentation.js';

export const contentFormat = z.enum(['text', 'link', 'octets', 'json', 'cbor']).or(whole(0, 65_535)).optional();

/** Its values in words. */
export const FORMATS = 'text, link, octets, json, cbor or a whole number from 0 to 65535';
