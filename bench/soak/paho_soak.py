"""Clients of paho-mqtt: publishers and subscribers with kept sessions that are cut off again and again.

paho_soak.py PORT; ends when standard input does, and then prints one JSON object: what was published, acknowledged,
received, doubled (QoS 2), disordered and lost.
"""
import json
import random
import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT = int(sys.argv[1])
PAIRS = ((mqtt.MQTTv311, 1), (mqtt.MQTTv311, 2), (mqtt.MQTTv5, 1), (mqtt.MQTTv5, 2))
PERIOD = 0.1
WINDOW = 15
DRAIN = 60
ENDED = threading.Event()


class Pair:
    """A publisher and a subscriber of one topic at one QoS."""

    def __init__(self, index, protocol, qos):
        self.qos = qos
        self.topic = f"soak/paho/{index}"
        self.sent = self.acknowledged = self.last = 0
        self.missing = set()
        self.doubled = self.disordered = self.repeated = 0
        self.subscribed = threading.Event()
        self.publisher = self.client(f"paho-publisher-{index}", protocol)
        self.subscriber = self.client(f"paho-subscriber-{index}", protocol)
        self.publisher.on_publish = self.on_publish
        self.subscriber.on_message = self.on_message
        self.subscriber.on_subscribe = lambda *_: self.subscribed.set()

    @staticmethod
    def client(name, protocol):
        extra = {"clean_session": False} if protocol != mqtt.MQTTv5 else {}
        client = mqtt.Client(client_id=name, protocol=protocol, **extra)
        client.reconnect_delay_set(1, 1)
        extra = {}
        if protocol == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            extra = {"clean_start": False, "properties": properties}
        client.connect("127.0.0.1", PORT, keepalive=30, **extra)
        client.loop_start()
        return client

    def on_publish(self, *_):
        self.acknowledged += 1

    def on_message(self, client, userdata, message):
        number = int(message.payload)
        if number > self.last:
            self.missing.update(range(self.last + 1, number))
            self.last = number
        elif number in self.missing:
            self.missing.remove(number)
            self.disordered += 1
        elif self.qos == 2:
            self.doubled += 1
        else:
            self.repeated += 1

    def publish(self):
        if not self.publisher.is_connected() or self.sent - self.acknowledged >= WINDOW:
            return
        self.sent += 1
        self.publisher.publish(self.topic, str(self.sent), self.qos)

    def cut(self):
        client = random.choice((self.publisher, self.subscriber))
        connection = client.socket()
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def lost(self):
        return self.sent - self.last + len(self.missing)

    def end(self):
        for client in (self.publisher, self.subscriber):
            client.disconnect()
            client.loop_stop()


def listen():
    sys.stdin.read()
    ENDED.set()


def main():
    random.seed(1)
    threading.Thread(target=listen, daemon=True).start()
    pairs = [Pair(index, protocol, qos) for index, (protocol, qos) in enumerate(PAIRS)]
    for pair in pairs:
        while not pair.subscriber.is_connected():
            time.sleep(0.05)
        pair.subscriber.subscribe(pair.topic, pair.qos)
        pair.subscribed.wait(30)
    ticks = 0
    while not ENDED.wait(PERIOD):
        ticks += 1
        for pair in pairs:
            pair.publish()
        if ticks % 20 == 0:
            random.choice(pairs).cut()
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and any(pair.lost() or pair.acknowledged < pair.sent for pair in pairs):
        time.sleep(0.05)
    names = ("sent", "acknowledged", "doubled", "disordered", "repeated")
    totals = {name: sum(getattr(pair, name) for pair in pairs) for name in names}
    print(json.dumps({**totals, "lost": sum(pair.lost() for pair in pairs)}), flush=True)
    for pair in pairs:
        pair.end()


main()
