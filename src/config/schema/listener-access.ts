/** `access` of a listener that MQTT comes by: who its clients are, and what they may do, in the place of the `access` of all. */
import { z } from 'zod';
import { access } from './access.js';
import { documentation, text } from './documentation.js';

const { password_file, scram_file, acl_file, acl } = access.unwrap().shape;

const DOC =
  'Who the clients of this listener are and what they may do, in the place of `access` of the top level, from which nothing comes ' +
  'through: neither its files, nor its tokens, nor its server of logins. `{}` is nobody’s password and no list. Unset: that section.';
const TYPE = 'a section with files of its own';
const EXAMPLE = '{ password_file: /etc/portico/here, acl_file: /etc/portico/here-acl }';

const files = { password_file, scram_file, acl_file, acl };

/** Of a listener without pre-shared keys. */
export const ownAccess = {
  access: z
    .strictObject(files)
    .optional()
    .register(documentation, { doc: DOC, type: TYPE, example: EXAMPLE, since: '0.1.0' }),
};

/** Of a listener that may take pre-shared keys. */
export const keyedAccess = {
  access: z
    .strictObject({
      ...files,
      psk_file: text()
        .optional()
        .register(documentation, {
          doc:
            'Identities and pre-shared keys of the clients of this listener, as `access.psk_file`. A relative path starts at the ' +
            'working directory. Unset: there are none, so it can have no `psk_hint`.',
          example: '/etc/portico/psk',
          since: '0.1.0',
        }),
    })
    .optional()
    .register(documentation, { doc: DOC, type: TYPE, example: EXAMPLE, since: '0.1.0' }),
};
