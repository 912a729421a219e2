/** What the commands to devices count: what the clients of both families do, and what the plugin does with it. */
import { ClientCounters } from '../../coap/client/counters.js';

export class DeviceCounters extends ClientCounters {
  /** Commands under way or waiting now; the only number here that goes down. */
  inFlight = 0;
  /** Messages not sent for `coap.commands_in_flight` and `coap.commands_per_device`. */
  refusedInFlight = 0;
  refusedPerDevice = 0;
  /** Messages not sent since their device has no address that can be reached. */
  unresolved = 0;
  /** Messages not sent since they have not what the templates of the command take. */
  templateFailures = 0;
  /** Outcomes that no message can say. */
  droppedReplies = 0;
}
