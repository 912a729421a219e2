/** Fuzzing of whole connections, of the WebSocket listener and of what proxies say. */
import { fuzz } from './gate.js';

fuzz({ 'mqtt-connection': 4, websocket: 5, 'tls-handshake': 4, 'proxy-header': 8, 'forwarded-for': 6 });
