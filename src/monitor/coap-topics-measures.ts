/** What the topics as resources of CoAP count, for `$SYS` and the metrics. */
import { counter, type Metric } from './measure.js';

export const COAP_TOPICS_METRICS: readonly Metric[] = [
  counter(
    'portico_coap_connections_refused_total',
    'CoAP: Connections refused, as there are too many.',
    'coap/connectionsRefused',
    'refusedCoapConnections',
  ),
  counter(
    'portico_coap_connections_timed_out_total',
    'CoAP: Connections ended for their silence.',
    'coap/connectionsTimedOut',
    'coapTimeouts',
  ),
  counter(
    'portico_coap_wildcard_notifications_dropped_total',
    'CoAP: Messages for wildcard observations dropped, as too many topics wait.',
    'coap/wildcardNotificationsDropped',
    'droppedCoapNotifications',
  ),
  counter(
    'portico_coap_wildcard_notifications_replaced_total',
    'CoAP: Messages for wildcard observations never sent since a newer one of their topic came first.',
    'coap/wildcardNotificationsReplaced',
    'replacedCoapNotifications',
  ),
  counter(
    'portico_coap_lists_cut_total',
    'CoAP: Lists of values or links that were cut.',
    'coap/listsCut',
    'cutCoapLists',
  ),
  counter(
    'portico_coap_conversion_failures_total',
    'CoAP: Payloads that a mapping could not convert.',
    'coap/conversionFailures',
    'coapConversionFailures',
  ),
];
