/** Fuzzing of what reads MQTT. */
import { fuzz } from './gate.js';

fuzz({ 'mqtt-server': 40, 'mqtt-client': 30, 'mqtt-publish': 40, topics: 20 });
