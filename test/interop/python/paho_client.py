"""A paho-mqtt client that a test drives: one command per line in (JSON), one event per line out (JSON)."""
import base64
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROTOCOLS = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def on_connect(client, userdata, flags, reason, properties=None):
    code = reason if isinstance(reason, int) else reason.value
    tell("connected", code=code, session_present=bool(flags["session present"]))


def on_disconnect(client, userdata, reason, properties=None):
    tell("disconnected", code=reason if isinstance(reason, int) else reason.value)


def on_message(client, userdata, message):
    payload = base64.b64encode(message.payload).decode()
    tell("message", topic=message.topic, payload=payload, qos=message.qos, retain=bool(message.retain))


def on_subscribe(client, userdata, mid, granted, properties=None):
    tell("subscribed", mid=mid, granted=[code if isinstance(code, int) else code.value for code in granted])


def on_publish(client, userdata, mid):
    tell("published", mid=mid)


def create(command):
    version = command.get("version", 4)
    settings = {
        "client_id": command["client_id"],
        "protocol": PROTOCOLS[version],
        "transport": command.get("transport", "tcp"),
    }
    if version < 5:
        settings["clean_session"] = command.get("clean_session", True)
    client = mqtt.Client(**settings)
    if "will" in command:
        will = command["will"]
        client.will_set(will["topic"], will["payload"], qos=will["qos"], retain=will["retain"])
    if "ws_path" in command:
        client.ws_set_options(path=command["ws_path"])
    for callback in (on_connect, on_disconnect, on_message, on_subscribe, on_publish):
        setattr(client, callback.__name__, callback)
    extra = {}
    if version == 5:
        extra["clean_start"] = command.get("clean_session", True)
        if "session_expiry" in command:
            extra["properties"] = Properties(PacketTypes.CONNECT)
            extra["properties"].SessionExpiryInterval = command["session_expiry"]
    client.connect("127.0.0.1", command["port"], keepalive=command.get("keepalive", 60), **extra)
    client.loop_start()
    return client


def main():
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        action = command["do"]
        if action == "connect":
            client = create(command)
        elif action == "subscribe":
            client.subscribe(command["filter"], qos=command["qos"])
        elif action == "publish":
            payload = base64.b64decode(command["payload"])
            client.publish(command["topic"], payload, qos=command["qos"], retain=command["retain"])
        elif action == "disconnect":
            client.disconnect()
            client.loop_stop()
            return
        else:
            raise ValueError(action)


main()
