/** Fuzzing of what is read from the store, and of what it is made from. */
import { fuzz } from './gate.js';

fuzz({
  'stored-values': 80,
  'store-files': 20,
  'backup-file': 20,
  'mosquitto-db': 20,
  'message-pack': 40,
  'store-recovery': 3,
  'plugin-records': 3,
});
