/**
 * Fuzzing of what an administrator writes: configuration, variables, arguments, templates and files of users and of revoked
 * certificates; of SCRAM, and of tokens.
 */
import { fuzz } from './gate.js';

fuzz({
  'config-yaml': 2,
  'config-mosquitto': 20,
  'config-environment': 10,
  'command-line': 30,
  'password-file': 30,
  'acl-file': 40,
  'role-acl': 30,
  'psk-file': 20,
  'public-key-file': 15,
  'revocation-lists': 4,
  templates: 40,
  'scram-file': 30,
  'scram-messages': 40,
  tokens: 15,
  'key-sets': 20,
  'login-answers': 40,
  saslprep: 40,
});
