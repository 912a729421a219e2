/** The group of CoAP, in the order of the report. */
import { dtls } from './dtls.js';
import { memory } from './memory.js';
import { observe } from './observe.js';
import { soak } from './soak.js';

export const coap = [...observe, ...dtls, ...memory, soak];
