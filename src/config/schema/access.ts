/** `access`. */
import { z } from 'zod';
import { documentation, text } from './documentation.js';

export const access = z
  .strictObject({
    password_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and password hashes as `mosquitto_passwd` writes them. A relative path starts at the working directory. ' +
          'Unset: nobody has a password.',
        example: '/etc/portico/passwords',
        since: '0.1.0',
      }),
    scram_file: text()
      .optional()
      .register(documentation, {
        doc:
          'Users and their SCRAM-SHA-256 credentials, a line each as `portico scram NAME` prints it, for MQTT 5.0 clients ' +
          'with that authentication method. A relative path starts at the working directory. Unset: the method is not ' +
          'offered.',
        example: '/etc/portico/scram',
        since: '0.1.0',
      }),
  })
  .prefault({})
  .register(documentation, { doc: 'Who may connect.', since: '0.1.0' });
