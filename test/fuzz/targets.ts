/** All targets. Each is loaded when it is asked for, after the counting of coverage has begun. */
import type { Target } from './target.js';

const access = () => import('./targets/access.js');
const acl = () => import('./targets/acl.js');
const coap = () => import('./targets/coap.js');
const config = () => import('./targets/config.js');
const mqtt = () => import('./targets/mqtt.js');
const logins = () => import('./targets/tokens.js');
const proxies = () => import('./targets/proxies.js');

export const TARGETS = {
  'mqtt-server': async () => (await mqtt()).mqttServer,
  'mqtt-client': async () => (await mqtt()).mqttClient,
  'mqtt-publish': async () => (await import('./targets/publish.js')).mqttPublish,
  'mqtt-connection': async () => (await import('./targets/connection.js')).mqttConnection,
  websocket: async () => (await import('./targets/websocket.js')).webSocket,
  'tls-handshake': async () => (await import('./targets/tls-handshake.js')).tlsHandshake,
  'proxy-header': async () => (await proxies()).proxyHeader,
  'forwarded-for': async () => (await proxies()).forwardedFor,
  topics: async () => (await import('./targets/topics.js')).topicTarget,
  'coap-message': async () => (await coap()).coapMessage,
  'coap-endpoint': async () => (await coap()).coapEndpoint,
  'coap-client': async () => (await import('./targets/coap-client.js')).coapClient,
  'coap-topics': async () => (await import('./targets/coap-topics.js')).coapTopics,
  'coap-tcp': async () => (await import('./targets/coap-tcp.js')).coapTcp,
  templates: async () => (await import('./targets/templates.js')).templates,
  'resource-directory': async () => (await import('./targets/resource-directory.js')).resourceDirectory,
  dtls: async () => (await import('./targets/dtls.js')).dtlsTarget,
  'dtls-client': async () => (await import('./targets/dtls-client.js')).dtlsClientTarget,
  'config-yaml': async () => (await config()).configYaml,
  'config-mosquitto': async () => (await config()).configMosquitto,
  'config-environment': async () => (await config()).configEnvironment,
  'command-line': async () => (await config()).commandLine,
  'password-file': async () => (await access()).passwordFile,
  'acl-file': async () => (await acl()).aclFile,
  'role-acl': async () => (await acl()).roleAcl,
  'psk-file': async () => (await access()).pskFile,
  'public-key-file': async () => (await access()).publicKeyFile,
  'revocation-lists': async () => (await import('./targets/revocation-lists.js')).revocationLists,
  'scram-file': async () => (await access()).scramFile,
  'scram-messages': async () => (await access()).scramMessages,
  tokens: async () => (await logins()).tokensTarget,
  'key-sets': async () => (await logins()).keySets,
  'login-answers': async () => (await logins()).loginAnswers,
  saslprep: async () => (await access()).saslprepTarget,
  'stored-values': async () => (await import('./targets/records.js')).storedValues,
  'plugin-records': async () => (await import('./targets/plugin-records.js')).pluginRecords,
  'backup-file': async () => (await import('./targets/backup.js')).backupFile,
  'mosquitto-db': async () => (await import('./targets/mosquitto-db.js')).mosquittoDb,
  'message-pack': async () => (await import('./targets/message-pack.js')).messagePack,
  'store-files': async () => (await import('./targets/store-files.js')).storeFiles,
  'store-recovery': async () => (await import('./targets/recovery.js')).storeRecovery,
} as const satisfies Record<string, () => Promise<Target>>;

export type TargetName = keyof typeof TARGETS;
