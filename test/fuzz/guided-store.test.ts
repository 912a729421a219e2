/** Fuzzing of what is read from the store. */
import { fuzz } from './gate.js';

fuzz({ 'stored-values': 80, 'backup-file': 20, 'store-recovery': 3 });
