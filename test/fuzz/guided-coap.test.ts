/** Fuzzing of what reads CoAP, from either side. */
import { fuzz } from './gate.js';

fuzz({
  'coap-message': 60,
  'coap-endpoint': 12,
  'coap-client': 12,
  'coap-topics': 3,
  'coap-tcp': 3,
  'resource-directory': 10,
  dtls: 2,
  'dtls-client': 2,
});
