# The guest's side of the network tests: python3 net-client.py HOST PORT BYTES CONNECTIONS prints what it saw as JSON.
# HOST "gateway" is the one of the default route.
import hashlib, http.client, json, random, socket, sys, time

host, port, size, connections = sys.argv[1], *map(int, sys.argv[2:5])


def text(path):
    with open(path) as file:
        return file.read()


def gateway():
    for line in text("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])


def connect():
    for _ in range(50):
        try:
            return socket.create_connection((host, port), timeout=30)
        except ConnectionRefusedError:
            time.sleep(0.1)
    return socket.create_connection((host, port), timeout=30)


def request(method, path, body=None):
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request(method, path, body)
    return connection.getresponse().read()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def echo(number):
    with connect() as peer:
        peer.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n%06d" % number)
        answer = b""
        while True:
            chunk = peer.recv(4096)
            if not chunk:
                return answer.endswith(b"%06d" % number)
            answer += chunk


if host == "gateway":
    host = gateway()
seen = {
    "mac": text("/sys/class/net/eth0/address").strip(),
    "mtu": int(text("/sys/class/net/eth0/mtu")),
    "resolvers": text("/etc/resolv.conf").split("\n"),
    "host": host,
    "hello": request("GET", "/hello").decode(),
}
sent = random.Random(1).randbytes(size)
seen["upload"] = [digest(sent), request("POST", "/hash", sent).decode()]
seen["download"] = digest(request("GET", "/data"))
seen["echoes"] = sum(echo(number) for number in range(connections))
print(json.dumps(seen))
