"""A closed loop on Feast's HTTP server. usage: http_load.py PORT CONNECTIONS SECONDS ENTITIES KEYS

So many connections, each with one request at a time; prints what became of the requests as JSON. A thread a connection
is enough: the server answers some hundred a second.
"""
import http.client
import json
import random
import sys
import threading
import time

port, connections, seconds, entities, keys = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *map(int, sys.argv[4:6])
WARM_UP_S = 2
latencies, failed, lock = [], [0], threading.Lock()
begin = time.monotonic() + WARM_UP_S


def work(number):
    chosen = random.Random(number)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while (start := time.monotonic()) < begin + seconds:
        ids = [chosen.randrange(keys) for _ in range(entities)]
        body = json.dumps({"feature_service": "all", "entities": {"user_id": ids}})
        well = ask(connection, body)
        if start >= begin:
            with lock:
                latencies.append(time.monotonic() - start) if well else failed.__setitem__(0, failed[0] + 1)


def ask(connection, body):
    try:
        connection.request("POST", "/get-online-features", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        # every feature of every entity is there
        return answer.status == 200 and said.count(b"PRESENT") >= 50 * entities
    except (OSError, http.client.HTTPException):
        connection.close()
        return False


threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
took = max(seconds, time.monotonic() - begin)
latencies.sort()
at = {name: round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e6, 1) if latencies else None
      for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0))}
print(json.dumps({"answered": len(latencies), "answered_per_s": len(latencies) / took, "latency_us": at, "failed": failed[0]}))
