/** Fuzzing of what reads MQTT. */
import { fuzz } from './gate.js';

fuzz({ 'mqtt-server': 30, 'mqtt-client': 20, 'mqtt-publish': 40, topics: 20 });
