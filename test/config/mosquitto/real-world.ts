/** Configurations as installations have them. `@` stands for the folder of the file. */

export interface RealWorld {
  readonly title: string;
  readonly text: string;
  readonly others?: Readonly<Record<string, string>>;
  /** Warnings of options without effect, by the option. */
  readonly without: readonly string[];
}

export const ACCEPTED: readonly RealWorld[] = [
  { title: 'an empty file', text: '', without: [] },
  {
    title: "Debian's own, with nothing in conf.d",
    text: `# Place your local configuration in /etc/mosquitto/conf.d/
#
# A full description of the configuration file is at
# /usr/share/doc/mosquitto/examples/mosquitto.conf.example

pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location @/lib/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir @/conf.d
`,
    others: { 'conf.d/README': 'Any files placed in this directory that have a .conf ending will be read.\n' },
    without: ['pid_file', 'log_dest'],
  },
  {
    title: "Debian's own, with a password file and a listener in conf.d",
    text: 'pid_file /run/mosquitto/mosquitto.pid\npersistence true\npersistence_location @/lib/\ninclude_dir @/conf.d\n',
    others: {
      'conf.d/10-auth.conf': 'allow_anonymous false\npassword_file @/passwords\n',
      'conf.d/20-listener.conf': 'listener 1883\n',
      passwords: '',
    },
    without: ['pid_file'],
  },
  {
    title: 'home automation: a password for all, TCP and WebSocket',
    text: `per_listener_settings false
allow_anonymous false
password_file @/passwords

listener 1883
protocol mqtt

listener 9001
protocol websockets
socket_domain ipv4

persistence true
persistence_location @/data
autosave_interval 300
log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages true
max_queued_messages 5000
persistent_client_expiration 2w
`,
    without: ['autosave_interval'],
  },
  {
    title: 'an add-on of home automation: four listeners, TLS without certificates of clients, rights',
    text: `protocol mqtt
user root
log_dest stdout
log_type error
log_type information
persistence true
persistence_location @/data/
max_queued_messages 8192
password_file @/passwords
acl_file @/acl
allow_anonymous false

listener 1884
protocol mqtt

listener 1885
protocol websockets

listener 8883
protocol mqtt
cafile @/ssl/fullchain.pem
certfile @/ssl/fullchain.pem
keyfile @/ssl/privkey.pem
require_certificate false

listener 8884
protocol websockets
cafile @/ssl/fullchain.pem
certfile @/ssl/fullchain.pem
keyfile @/ssl/privkey.pem
require_certificate false
`,
    without: [],
  },
  {
    title: 'a file of Mosquitto 1.6 with every option of its example that is old by now',
    text: `retry_interval 20
sys_interval 10
user mosquitto
max_inflight_messages 20
max_queued_messages 100
message_size_limit 0
upgrade_outgoing_qos false
allow_duplicate_messages false
queue_qos0_messages false
persistent_client_expiration 2m
bind_address 127.0.0.1
port 1884
max_connections -1
autosave_interval 1800
autosave_on_changes false
persistence true
persistence_file mosquitto.db
persistence_location @/lib/
log_dest syslog
log_dest topic
log_type error
log_type notice
connection_messages true
log_timestamp true
allow_anonymous true
password_file @/passwords
acl_file @/acl
`,
    without: ['retry_interval', 'autosave_interval', 'log_dest', 'log_dest'],
  },
  {
    title: 'a container: open to the network it is on',
    text: 'listener 1883 0.0.0.0\r\nallow_anonymous true\r\nlog_dest stdout\r\n',
    without: [],
  },
  {
    title: 'old options: port and bind_address',
    text: 'port 1884\nbind_address 127.0.0.1\nretry_interval 20\nmax_connections 50\nallow_anonymous true\nuser mosquitto\n',
    without: ['retry_interval'],
  },
  {
    title: 'limits of a small machine',
    text: `listener 1883 localhost
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 1048576
max_packet_size 65536
max_keepalive 600
memory_limit 67108864
max_connections 100
global_max_connections 80
global_max_clients 500
max_topic_alias 0
max_topic_alias_broker 0
max_qos 1
retain_available false
sys_interval 60
set_tcp_nodelay true
message_size_limit 0
upgrade_outgoing_qos false
`,
    without: [],
  },
  {
    title: 'the same for each listener with per_listener_settings',
    text: `per_listener_settings true
listener 1883
allow_anonymous false
password_file @/passwords
listener 1884 127.0.0.1
listener_allow_anonymous false
password_file @/passwords
`,
    without: [],
  },
  {
    title: 'a home network that anyone may use, and users with rights from outside',
    text: `per_listener_settings true
persistence true
persistence_location @/data

listener 1883
allow_anonymous true

listener 8883
certfile @/server.crt
keyfile @/server.key
allow_anonymous false
password_file @/passwords
acl_file @/acl

listener 9001
protocol websockets
password_file @/guests
`,
    others: { passwords: '', guests: '', acl: 'user ann\ntopic readwrite home/#\n' },
    without: [],
  },
  {
    title: 'the bundled plugins for passwords and the store',
    text: `plugin /usr/lib/x86_64-linux-gnu/mosquitto_password_file.so
plugin_opt_password_file @/passwords
global_plugin /usr/lib/x86_64-linux-gnu/mosquitto_persist_sqlite.so
plugin_opt_db_file @/lib/mosquitto.sqlite3
plugin_opt_sync normal
listener 1883
accept_protocol_versions 3,4,5
`,
    without: ['plugin_opt_sync'],
  },
];
