/** Fuzzing of whole connections and of the WebSocket listener. */
import { fuzz } from './gate.js';

fuzz({ 'mqtt-connection': 4, websocket: 5 });
