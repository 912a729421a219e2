"""A paho-mqtt client that a test drives: one command per line in (JSON), one event per line out (JSON).

Properties of MQTT 5.0 are objects by the names of the specification without spaces. Correlation Data is in hexadecimal,
User Property a list of pairs.
"""
import base64
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PROTOCOLS = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def number(reason):
    return reason if isinstance(reason, int) else reason.value


def numbers(reasons):
    return [number(reason) for reason in reasons] if isinstance(reasons, (list, tuple)) else [number(reasons)]


def named(properties):
    return {} if properties is None else properties.json()


def properties_of(packet_type, named_values):
    """Properties from their JSON form; None if there are none."""
    if not named_values:
        return None
    properties = Properties(packet_type)
    for name, value in named_values.items():
        if name == "CorrelationData":
            value = bytes.fromhex(value)
        elif name == "UserProperty":
            value = [tuple(pair) for pair in value]
        setattr(properties, name, value)
    return properties


def on_connect(client, userdata, flags, reason, properties=None):
    present = bool(flags["session present"])
    tell("connected", code=number(reason), session_present=present, properties=named(properties))


def on_disconnect(client, userdata, reason, properties=None):
    tell("disconnected", code=number(reason), properties=named(properties))


def on_message(client, userdata, message):
    payload = base64.b64encode(message.payload).decode()
    flags = {"qos": message.qos, "retain": bool(message.retain)}
    properties = named(getattr(message, "properties", None))
    tell("message", topic=message.topic, payload=payload, properties=properties, **flags)


def on_subscribe(client, userdata, mid, granted, properties=None):
    tell("subscribed", mid=mid, granted=numbers(granted), properties=named(properties))


def on_unsubscribe(client, userdata, mid, properties=None, reasons=()):
    tell("unsubscribed", mid=mid, granted=numbers(reasons), properties=named(properties))


def on_publish(client, userdata, mid):
    tell("published", mid=mid)


def create(command):
    version = command.get("version", 4)
    settings = {
        "client_id": command["client_id"],
        "protocol": PROTOCOLS[version],
        "transport": command.get("transport", "tcp"),
        "reconnect_on_failure": False,
    }
    if version < 5:
        settings["clean_session"] = command.get("clean_session", True)
    client = mqtt.Client(**settings)
    if "will" in command:
        will = command["will"]
        properties = properties_of(PacketTypes.WILLMESSAGE, will.get("properties"))
        client.will_set(will["topic"], will["payload"], qos=will["qos"], retain=will["retain"], properties=properties)
    if "tls" in command:
        client.tls_set(**command["tls"])
    if "username" in command:
        client.username_pw_set(command["username"], command.get("password"))
    if "ws_path" in command:
        client.ws_set_options(path=command["ws_path"])
    for callback in (on_connect, on_disconnect, on_message, on_subscribe, on_unsubscribe, on_publish):
        setattr(client, callback.__name__, callback)
    extra = {}
    if version == 5:
        extra["clean_start"] = command.get("clean_session", True)
        extra["properties"] = properties_of(PacketTypes.CONNECT, command.get("properties"))
    client.connect("127.0.0.1", command["port"], keepalive=command.get("keepalive", 60), **extra)
    client.loop_start()
    return client


def subscribe(client, command):
    if "options" not in command:
        client.subscribe(command["filter"], qos=command["qos"])
        return
    options = SubscribeOptions(command["qos"], **command["options"])
    properties = properties_of(PacketTypes.SUBSCRIBE, command.get("properties"))
    client.subscribe(command["filter"], options=options, properties=properties)


def publish(client, command):
    payload = base64.b64decode(command["payload"])
    properties = properties_of(PacketTypes.PUBLISH, command.get("properties"))
    client.publish(command["topic"], payload, command["qos"], command["retain"], properties)


def main():
    client = None
    for line in sys.stdin:
        command = json.loads(line)
        action = command["do"]
        if action == "connect":
            client = create(command)
        elif action == "subscribe":
            subscribe(client, command)
        elif action == "unsubscribe":
            client.unsubscribe(command["filters"])
        elif action == "publish":
            publish(client, command)
        elif action == "disconnect":
            client.disconnect(properties=properties_of(PacketTypes.DISCONNECT, command.get("properties")))
            client.loop_stop()
            return
        else:
            raise ValueError(action)


main()
