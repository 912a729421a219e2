/** Options of plugins. */
import { boolean, free, type Row, text } from '../row.js';

const LOADED = 'Portico runs no plugins in C; the bundled ones are named with `plugin`';

export const plugins: readonly Row[] = [
  {
    name: 'plugin',
    aliases: ['auth_plugin'],
    scope: 'security',
    kind: text,
    fate: 'honoured',
    words:
      'the bundled `mosquitto_password_file.so` becomes `access.password_file`, `mosquitto_acl_file.so` becomes ' +
      '`access.acl_file` and needs its `plugin_opt_acl_file`, and `mosquitto_persist_sqlite.so` becomes the store of Portico; any ' +
      'other is refused',
  },
  {
    name: 'global_plugin',
    scope: 'global',
    kind: text,
    fate: 'honoured',
    words: 'as `plugin`',
  },
  {
    name: 'plugin_opt_*',
    aliases: ['auth_opt_*'],
    scope: 'plugin',
    kind: text,
    fate: 'honoured',
    words:
      '`plugin_opt_password_file` is `access.password_file`; `plugin_opt_acl_file` is `access.acl_file`; `plugin_opt_db_file` is ' +
      '`data_dir`, the folder `portico` beside that file; those of a plugin that is refused are not read; others are ignored',
  },
  {
    name: 'auth_plugin_deny_special_chars',
    scope: 'plugin',
    kind: boolean,
    fate: 'ignored',
    words: 'no plugin is asked about topics',
  },
  { name: 'plugin_load', scope: 'global', kind: free, fate: 'refused', words: LOADED },
  { name: 'plugin_use', scope: 'own listener', kind: free, fate: 'refused', words: LOADED },
];
